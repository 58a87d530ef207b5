// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.24;

/// A price or uptime feed that tells what it was told, as Chainlink's aggregators do.
contract Feed {
    struct Round {
        uint80 id;
        int256 answer;
        uint256 startedAt;
        uint256 updatedAt;
        uint80 answeredInRound;
    }

    uint8 public immutable decimals;
    string public description;
    Round private latest;

    constructor(string memory description_, uint8 decimals_) {
        description = description_;
        decimals = decimals_;
    }

    /// A new answer, of this block.
    function answer(int256 value) external {
        uint80 id = latest.id + 1;
        latest = Round(id, value, block.timestamp, block.timestamp, id);
    }

    function setRound(uint80 id, int256 value, uint256 startedAt, uint256 updatedAt, uint80 answeredIn) external {
        latest = Round(id, value, startedAt, updatedAt, answeredIn);
    }

    /// What Aave's oracle asks.
    function latestAnswer() external view returns (int256) {
        return latest.answer;
    }

    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        require(latest.id != 0, "No data present");
        return (latest.id, latest.answer, latest.startedAt, latest.updatedAt, latest.answeredInRound);
    }
}

/// A price that follows a feed and tells no time, as the adapters in Aave's oracles do.
contract Adapter {
    Feed private immutable feed;

    constructor(Feed feed_) {
        feed = feed_;
    }

    function latestAnswer() external view returns (int256) {
        return feed.latestAnswer();
    }
}

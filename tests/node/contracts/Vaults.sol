// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ERC4626} from "@openzeppelin/contracts/token/ERC20/extensions/ERC4626.sol";

/// OpenZeppelin's vault as it is. Tokens sent to it are yield.
contract PlainVault is ERC4626 {
    constructor(IERC20 token) ERC20("Vault", "V") ERC4626(token) {}
}

/// A vault that pays out no more than its liquidity, as one does that lends its assets on.
contract LimitedVault is PlainVault {
    uint256 public liquidity = type(uint256).max;
    uint256 public lent;
    bool public broken;

    constructor(IERC20 token) PlainVault(token) {}

    function lend(uint256 assets) external {
        lent += assets;
        IERC20(asset()).transfer(address(1), assets);
    }

    function totalAssets() public view override returns (uint256) {
        return super.totalAssets() + lent;
    }

    function setLiquidity(uint256 assets) external {
        liquidity = assets;
    }

    function setBroken(bool isBroken) external {
        broken = isBroken;
    }

    function _withdraw(address caller, address receiver, address owner, uint256 assets, uint256 shares)
        internal
        override
    {
        if (liquidity != type(uint256).max) liquidity -= assets;
        super._withdraw(caller, receiver, owner, assets, shares);
    }

    function maxWithdraw(address owner) public view override returns (uint256) {
        require(!broken, "broken");
        uint256 owned = super.maxWithdraw(owner);
        return owned < liquidity ? owned : liquidity;
    }

    function maxRedeem(address owner) public view override returns (uint256) {
        return convertToShares(maxWithdraw(owner));
    }

    function convertToAssets(uint256 shares) public view override returns (uint256) {
        require(!broken, "broken");
        return super.convertToAssets(shares);
    }
}

/// A vault whose shares have 12 decimals more than its token: of `maxRedeem` rounding leaves some, worth nothing.
contract FineVault is LimitedVault {
    constructor(IERC20 token) LimitedVault(token) {}

    function _decimalsOffset() internal pure override returns (uint8) {
        return 12;
    }
}

/// A vault that pays after a request and some days only, and whose `maxWithdraw` does not know of that.
contract CoolingVault is PlainVault {
    bool public cooling = true;

    constructor(IERC20 token) PlainVault(token) {}

    function setCooling(bool isCooling) external {
        cooling = isCooling;
    }

    function withdraw(uint256 assets, address receiver, address owner) public override returns (uint256) {
        require(!cooling, "cooling down");
        return super.withdraw(assets, receiver, owner);
    }
}

/// Shares in a token of their own, as ERC-7575 allows.
contract Share is ERC20 {
    address private immutable vault = msg.sender;

    constructor() ERC20("Share", "S") {}

    function mint(address holder, uint256 amount) external {
        require(msg.sender == vault);
        _mint(holder, amount);
    }

    function burn(address holder, uint256 amount) external {
        require(msg.sender == vault);
        _burn(holder, amount);
    }
}

/// The least of an ERC-7540 vault: both ways by requests, of which each controller has one, with the id 0.
contract AsynchronousVault {
    IERC20 public immutable asset;
    Share public immutable share = new Share();
    uint256 public price = 1e18; // assets for 1e18 shares

    mapping(address => uint256) private pendingAssets;
    mapping(address => uint256) private pendingShares;
    mapping(address => uint256) public maxMint; // claimable shares
    mapping(address => uint256) public maxWithdraw; // claimable assets

    constructor(IERC20 token) {
        asset = token;
    }

    function setPrice(uint256 assets) external {
        price = assets;
    }

    function convertToAssets(uint256 shares) public view returns (uint256) {
        return (shares * price) / 1e18;
    }

    function pendingDepositRequest(uint256 requestId, address controller) external view returns (uint256) {
        return requestId == 0 ? pendingAssets[controller] : 0;
    }

    function pendingRedeemRequest(uint256 requestId, address controller) external view returns (uint256) {
        return requestId == 0 ? pendingShares[controller] : 0;
    }

    function requestDeposit(uint256 assets, address controller, address owner) external returns (uint256) {
        require(msg.sender == owner && asset.transferFrom(owner, address(this), assets));
        pendingAssets[controller] += assets;
        return 0;
    }

    function requestRedeem(uint256 shares, address controller, address owner) external returns (uint256) {
        require(msg.sender == owner);
        share.burn(owner, shares);
        pendingShares[controller] += shares;
        return 0;
    }

    /// What the vault's manager does: every pending request becomes claimable at the price of now.
    function fulfil(address controller) external {
        maxMint[controller] += (pendingAssets[controller] * 1e18) / price;
        maxWithdraw[controller] += convertToAssets(pendingShares[controller]);
        pendingAssets[controller] = pendingShares[controller] = 0;
    }

    function mint(uint256 shares, address receiver, address controller) external {
        require(msg.sender == controller);
        maxMint[controller] -= shares;
        share.mint(receiver, shares);
    }

    function withdraw(uint256 assets, address receiver, address controller) external returns (uint256) {
        require(msg.sender == controller);
        maxWithdraw[controller] -= assets;
        require(asset.transfer(receiver, assets));
        return (assets * 1e18) / price;
    }
}

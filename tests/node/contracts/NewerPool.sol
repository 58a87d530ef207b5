// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.24;

/// Stands at the address of an Aave v3.0 pool, passes everything on to it, and tells besides what pools of v3.2 and later tell.
contract NewerPool {
    struct State {
        address pool;
        mapping(address => uint128) virtualBalances;
        mapping(uint8 => uint128) collaterals;
    }

    // Far from every slot that the pool itself uses.
    bytes32 private constant SLOT = keccak256("reservd.tests.newer-pool");

    function standBefore(address pool) external {
        _state().pool = pool;
    }

    function setVirtualUnderlyingBalance(address asset, uint128 balance) external {
        _state().virtualBalances[asset] = balance;
    }

    function getVirtualUnderlyingBalance(address asset) external view returns (uint128) {
        return _state().virtualBalances[asset];
    }

    function setEModeCategoryCollateralBitmap(uint8 category, uint128 reserves) external {
        _state().collaterals[category] = reserves;
    }

    function getEModeCategoryCollateralBitmap(uint8 category) external view returns (uint128) {
        return _state().collaterals[category];
    }

    fallback() external {
        address pool = _state().pool;
        assembly {
            calldatacopy(0, 0, calldatasize())
            let done := delegatecall(gas(), pool, 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            switch done
            case 0 { revert(0, returndatasize()) }
            default { return(0, returndatasize()) }
        }
    }

    function _state() private pure returns (State storage state) {
        bytes32 slot = SLOT;
        assembly {
            state.slot := slot
        }
    }
}

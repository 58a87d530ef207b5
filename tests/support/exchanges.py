"""Exchanges on loopback: they answer as Binance, Bybit, OKX, Kraken and Bitvavo do, and check every signature.

async with Binance() as exchange:
    exchange.wallets["spot"] = {"USDT": ("40000.25", "1000")}
    ...  # a source with exchange.options
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from aiohttp import WSMsgType, web

from support.exchange_server import PASSPHRASE, SECRET, ExchangeServer, Refused


def _signature(text: str, method: str = "sha256") -> bytes:
    return hmac.new(SECRET.encode(), text.encode(), method).digest()


class Binance(ExchangeServer):
    """Spot and funding wallet, and those of both kinds of futures.

    Attributes:
        told_coins: The number of coins in the last answer for the spot wallet.
    """

    exchange = "binance"
    told_coins = 0

    def respond(self, request: web.Request, body: str) -> object:
        public = self._public(request)
        if public is not None:
            return public
        self._check(request, body or request.rel_url.raw_query_string)
        match request.path:
            case "/sapi/v1/account/apiRestrictions":
                return {
                    "ipRestrict": False,
                    "createTime": 1623840271000,
                    "enableReading": True,
                    "enableWithdrawals": self.may_withdraw,
                    "enableInternalTransfer": False,
                    "permitsUniversalTransfer": False,
                    "enableMargin": False,
                    "enableFutures": False,
                    "enableVanillaOptions": False,
                    "enableFixReadOnly": True,
                    "enableFixApiTrade": False,
                    "enableSpotAndMarginTrading": self.may_trade,
                }
            case "/sapi/v1/capital/config/getall":
                return [self._coin(name, withdraw=withdraw) for name, withdraw in self.coins.items()]
            case "/api/v3/account":
                balances = [
                    {"asset": coin, "free": free, "locked": used}
                    for coin, (free, used) in self.wallets.get("spot", {}).items()
                    if request.query.get("omitZeroBalances") != "true" or {free, used} - {"0", "0.00000000"}
                ]
                self.told_coins = len(balances)
                said = {"canTrade": True, "accountType": "SPOT", "updateTime": 1499405658657, "balances": balances}
                return {**said, "uid": int(self.owner(request.headers.get("X-MBX-APIKEY")))}
            case "/sapi/v1/asset/get-funding-asset" if "omitZeroBalances" not in body:  # it refuses unknown parameters
                return [
                    {"asset": coin, "free": free, "locked": used, "freeze": "0", "withdrawing": "0"}
                    for coin, (free, used) in self.wallets.get("funding", {}).items()
                ]
            case "/fapi/v3/account" | "/dapi/v1/account":
                wallet = self.wallets.get("linear" if "fapi" in request.path else "inverse", {})
                return {
                    "assets": [
                        {"asset": coin, "availableBalance": free, "initialMargin": used, "updateTime": 1625474304765}
                        for coin, (free, used) in wallet.items()
                    ]
                }
        raise Refused({"code": -1, "msg": "no such path"}, 404)

    def _public(self, request: web.Request) -> object | None:
        match request.path:
            case "/api/v3/time" | "/fapi/v1/time" | "/dapi/v1/time":
                return {"serverTime": self.now_ms()}
            case "/api/v3/exchangeInfo":
                pairs = [symbol.split("/") for symbol in self.tickers]
                return {
                    "symbols": [
                        {"symbol": base + quote, "status": "TRADING", "baseAsset": base, "quoteAsset": quote}
                        for base, quote in pairs
                    ]
                }
            case "/fapi/v1/exchangeInfo" | "/dapi/v1/exchangeInfo":
                return {"symbols": []}
            case "/api/v3/ticker/24hr":
                ids = {symbol.replace("/", ""): ticker for symbol, ticker in self.tickers.items()}
                bid, ask, last = ids[request.query["symbol"]]
                said = {"symbol": request.query["symbol"], "bidPrice": bid, "askPrice": ask, "lastPrice": last}
                return {**said, "closeTime": self.now_ms() - self.ticker_age_ms}
        return None

    def _check(self, request: web.Request, signed: str) -> None:
        query, _, signature = signed.rpartition("&signature=")
        if request.headers.get("X-MBX-APIKEY") not in self.keys or signature != _signature(query).hex():
            raise Refused({"code": -1022, "msg": "Signature for this request is not valid."}, 400)
        text = "Timestamp for this request is outside of the recvWindow."
        self.check_time(int(parse_qs(query)["timestamp"][0]), Refused({"code": -1021, "msg": text}, 400))

    def _coin(self, name: str, *, withdraw: bool | None) -> dict[str, Any]:
        network = {"network": "ETH", "coin": name, "isDefault": True, "depositEnable": True, "withdrawFee": "4"}
        if withdraw is not None:
            network["withdrawEnable"] = withdraw
        return {"coin": name, "name": name, "trading": True, "isLegalMoney": False, "networkList": [network]}


class Bybit(ExchangeServer):
    """Unified account and funding wallet."""

    exchange = "bybit"

    def respond(self, request: web.Request, body: str) -> object:
        if request.path != "/v5/market/time":
            self._check(request)
        match request.path:
            case "/v5/market/time":
                return self._said({"timeSecond": str(self.now_ms() // 1000)})
            case "/v5/user/query-api":
                rights = {"Spot": ["SpotTrade"] * self.may_trade, "Wallet": ["Withdraw"] * self.may_withdraw, "NFT": []}
                read_only = int(not (self.may_trade or self.may_withdraw))
                said = {"readOnly": read_only, "permissions": rights, "unified": 0, "uta": 1}
                return self._said({**said, "userID": int(self.owner(request.headers.get("X-BAPI-API-KEY")))})
            case "/v5/account/info":
                return self._said({"unifiedMarginStatus": 6, "marginMode": "REGULAR_MARGIN"})
            case "/v5/asset/coin/query-info":
                words = {True: "1", False: "0", None: ""}
                chains = {
                    coin: [
                        {"chain": "ETH", "chainType": "ERC20", "chainDeposit": "1", "chainWithdraw": words[withdraw]}
                    ]
                    for coin, withdraw in self.coins.items()
                }
                return self._said({"rows": [{"name": c, "coin": c, "chains": chain} for c, chain in chains.items()]})
            case "/v5/account/wallet-balance" if request.query["accountType"] == "UNIFIED":
                coins = [
                    {"coin": coin, "walletBalance": free or "", "locked": "0", "availableToWithdraw": "", "equity": "7"}
                    for coin, (free, _) in self.wallets.get("trading", {}).items()
                ]
                return self._said({"list": [{"accountType": "UNIFIED", "totalEquity": "7", "coin": coins}]})
            case "/v5/asset/transfer/query-account-coins-balance" if request.query["accountType"] == "FUND":
                balance = [
                    {"coin": coin, "transferBalance": free or "", "walletBalance": free or "", "bonus": ""}
                    for coin, (free, _) in self.wallets.get("funding", {}).items()
                ]
                return self._said({"accountType": "FUND", "balance": balance})
        raise Refused({"retCode": 10001, "retMsg": "no such path"}, 404)

    def _said(self, result: Mapping[str, Any]) -> dict[str, Any]:
        return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": self.now_ms()}

    def _coin(self, name: str, *, withdraw: bool | None) -> dict[str, Any]:
        word = {True: "1", False: "0", None: ""}[withdraw]
        chain = {"chain": "ETH", "chainType": "ERC20", "chainDeposit": "1", "chainWithdraw": word}
        return {"name": name, "coin": name, "chains": [chain]}

    def _check(self, request: web.Request) -> None:
        sent = request.headers.get("X-BAPI-TIMESTAMP", "0")
        key = request.headers.get("X-BAPI-API-KEY", "")
        text = sent + key + request.headers.get("X-BAPI-RECV-WINDOW", "") + request.rel_url.raw_query_string
        if key not in self.keys or request.headers.get("X-BAPI-SIGN") != _signature(text).hex():
            raise Refused({"retCode": 10004, "retMsg": "error sign!"})
        self.check_time(int(sent), Refused({"retCode": 10002, "retMsg": "please check your timestamp"}))


class Okx(ExchangeServer):
    """Trading account and funding account."""

    exchange = "okx"

    @property
    def options(self) -> dict[str, Any]:
        return {**super().options, "password": PASSPHRASE}

    def respond(self, request: web.Request, body: str) -> object:
        if request.path == "/api/v5/public/time":
            return self._said({"ts": str(self.now_ms())})
        if request.path == "/api/v5/public/instruments":  # the only ones in its sandbox
            spot = {"instType": "SPOT", "instId": "USDC-USDT", "baseCcy": "USDC", "quoteCcy": "USDT", "state": "live"}
            return self._said(*[spot] * (request.query["instType"] == "SPOT"))
        self._check(request)
        match request.path:
            case "/api/v5/account/config":
                rights = ["read_only", *["withdraw"] * self.may_withdraw, *["trade"] * self.may_trade]
                return self._said(
                    {"acctLv": "2", "perm": ",".join(rights), "uid": self.owner(request.headers.get("OK-ACCESS-KEY"))}
                )
            case "/api/v5/asset/currencies":
                return self._said(
                    *(
                        {"ccy": coin, "chain": f"{coin}-ERC20", "canDep": True, "wdTickSz": "6"}
                        | ({} if withdraw is None else {"canWd": withdraw})
                        for coin, withdraw in self.coins.items()
                    )
                )
            case "/api/v5/account/balance":
                details = [
                    {"ccy": coin, "availBal": free or "", "availEq": "", "eq": free or "", "frozenBal": used}
                    for coin, (free, used) in self.wallets.get("trading", {}).items()
                ]
                return self._said({"uTime": "1705474164160", "totalEq": "7", "details": details})
            case "/api/v5/asset/balances":
                holdings = self.wallets.get("funding", {}).items()
                return self._said(
                    *({"ccy": coin, "availBal": free or "", "frozenBal": used} for coin, (free, used) in holdings)
                )
        raise Refused({"code": "1", "msg": "no such path", "data": []}, 404)

    def _said(self, *data: Mapping[str, Any]) -> dict[str, Any]:
        return {"code": "0", "msg": "", "data": list(data)}

    def _check(self, request: web.Request) -> None:
        sent = request.headers.get("OK-ACCESS-TIMESTAMP", "")
        sign = base64.b64encode(_signature(sent + request.method + request.raw_path)).decode()
        if request.headers.get("OK-ACCESS-SIGN") != sign or request.headers.get("OK-ACCESS-PASSPHRASE") != PASSPHRASE:
            raise Refused({"code": "50113", "msg": "Invalid Sign", "data": []}, 401)
        sent_ms = datetime.fromisoformat(sent).timestamp() * 1000
        self.check_time(sent_ms, Refused({"code": "50102", "msg": "Timestamp request expired", "data": []}, 401))


class Kraken(ExchangeServer):
    """The only wallet, and the balance stream."""

    exchange = "kraken"

    def __init__(self) -> None:
        super().__init__()
        self.last_nonces: dict[str, int] = {}
        self.listeners: list[web.WebSocketResponse] = []

    def respond(self, request: web.Request, body: str) -> object:
        public = self._public(request)
        if public is not None:
            return public
        self._check(request, body)
        match request.path:
            case "/0/private/GetApiKeyInfo":
                rights = ["withdraw-funds"] * self.may_withdraw + ["modify-trades"] * self.may_trade
                return self._said({"apiKeyName": "reserve", "permissions": ["query-funds", *rights]})
            case "/0/private/BalanceEx":
                return self._said(
                    {
                        coin: {"hold_trade": used} | ({} if free is None else {"balance": free})
                        for coin, (free, used) in self.wallets.get("spot", {}).items()
                    }
                )
            case "/0/private/GetWebSocketsToken":
                return self._said({"token": "stream-token", "expires": 900})
        raise Refused({"error": ["EGeneral:Unknown method"]})

    def _public(self, request: web.Request) -> object | None:
        match request.path:
            case "/0/public/Time":
                return self._said({"unixtime": self.now_ms() // 1000})
            case "/0/public/Assets":
                words = {True: "enabled", False: "funding_temporarily_disabled", None: "withdrawal_only"}
                return self._said(
                    {
                        coin: {"aclass": "currency", "altname": coin, "decimals": 8, "status": words[withdraw]}
                        for coin, withdraw in self.coins.items()
                    }
                )
            case "/0/public/AssetPairs":
                shape = {"pair_decimals": 4, "lot_decimals": 8, "status": "online"}
                pairs = [symbol.split("/") for symbol in self.tickers or ("USDC/USDT",)]
                return self._said(
                    {
                        base + quote: {"altname": base + quote, "base": base, "quote": quote} | shape
                        for base, quote in pairs
                    }
                )
            case "/0/public/Ticker":
                ids = {symbol.replace("/", ""): ticker for symbol, ticker in self.tickers.items()}
                bid, ask, last = ids[request.query["pair"]]
                return self._said(
                    {request.query["pair"]: {"a": [ask, "1", "1"], "b": [bid, "1", "1"], "c": [last, "1"]}}
                )
        return None

    def _said(self, result: Mapping[str, Any]) -> dict[str, Any]:
        return {"error": [], "result": result}

    def _check(self, request: web.Request, body: str) -> None:
        nonce = parse_qs(body).get("nonce", ["0"])[0]
        digest = hashlib.sha256((nonce + body).encode()).digest()
        sign = hmac.new(base64.b64decode(SECRET), request.path.encode() + digest, "sha512").digest()
        key = request.headers.get("API-Key", "")
        if request.headers.get("API-Sign") != base64.b64encode(sign).decode() or key not in self.keys:
            raise Refused({"error": ["EAPI:Invalid signature"]})
        if int(nonce) <= self.last_nonces.get(key, 0):
            self.refused_for_time += 1
            raise Refused({"error": ["EAPI:Invalid nonce"]})
        self.last_nonces[key] = int(nonce)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT and json.loads(message.data).get("method") == "subscribe":
                assert json.loads(message.data)["params"]["token"] == "stream-token"
                await self._tell(socket, "snapshot")
                self.listeners.append(socket)
        return socket

    async def change(self, coin: str, amount: str) -> None:
        """Change a balance, and report it on every stream."""
        self.wallets.setdefault("spot", {})[coin] = (amount, "0")
        for socket in self.listeners:
            await self._tell(socket, "update")

    async def hang_up(self) -> None:
        """End every stream."""
        for socket in self.listeners:
            await socket.close()

    async def _tell(self, socket: web.WebSocketResponse, kind: str) -> None:
        data = [{"asset": coin, "balance": 1.5} for coin in self.wallets.get("spot", {})]
        await socket.send_json({"channel": "balances", "type": kind, "data": data, "sequence": 1})


class Bitvavo(ExchangeServer):
    """One wallet, on an exchange that the source supports only by what ccxt knows."""

    exchange = "bitvavo"

    def respond(self, request: web.Request, body: str) -> object:
        match request.path:
            case "/v2/time":
                return {"time": self.now_ms()}
            case "/v2/assets":
                words = {True: "OK", False: "MAINTENANCE", None: ""}
                return [
                    {"symbol": coin, "decimals": 6, "withdrawalStatus": words[withdraw], "networks": ["ETH"]}
                    for coin, withdraw in self.coins.items()
                ]
            case "/v2/balance":
                sent = request.headers.get("BITVAVO-ACCESS-TIMESTAMP", "0")
                if request.headers.get("BITVAVO-ACCESS-SIGNATURE") != _signature(f"{sent}GET/v2/balance").hex():
                    raise Refused({"errorCode": 309, "error": "The signature is invalid."}, 403)
                return [
                    {"symbol": coin, "available": free, "inOrder": used}
                    for coin, (free, used) in self.wallets.get("spot", {}).items()
                ]
        raise Refused({"errorCode": 110, "error": "Invalid endpoint."}, 404)


FAMILIES: tuple[type[ExchangeServer], ...] = (Binance, Bybit, Okx, Kraken)
"""Exchanges that the source supports beyond what ccxt knows."""

"""What requests cost at DynamoDB, by its published rules, worked out from the requests that pass a gate: the emulator
does not account for them. A write is 1 unit for each KB begun of the row before or after it, whichever is larger, a strong
read 1 for each 4 KB begun, an eventual one half of it; what is in a transaction costs double."""

import json
import math
import threading


# What a row takes in storage beyond its own bytes.
ROW_BYTES = 100


class Ledger:
    """Keeps the exchanges of one gate, each with its read and write units."""

    def __init__(self, world, gate):
        self.table = world.client("dynamodb")
        self.exchanges = []
        self.before = threading.local()
        gate.answer, gate.passed = self._before, self._after

    def _before(self, call, body):
        self.before.sizes = self._written(call, body)

    def _after(self, exchange):
        self.exchanges.append((exchange, *self._units(exchange)))

    def _written(self, call, body):
        """Sizes of the rows that a request writes, as they are now. The emulator is asked behind the gate."""
        if not call.startswith("DynamoDB."):
            return []
        asked = json.loads(body)
        operation = call.split(".")[1]
        if operation == "TransactWriteItems":
            writes = [next(iter(item.values())) for item in asked["TransactItems"]]
        else:
            writes = [asked] if operation in ("PutItem", "UpdateItem", "DeleteItem") else []
        return [self._size(write["TableName"], write.get("Key") or write["Item"]) for write in writes]

    def _size(self, table, key):
        key = {name: key[name] for name in ("pk", "sk")}
        return size(self.table.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item", {}))

    def _units(self, exchange):
        call = exchange.call
        if not call.startswith("DynamoDB."):
            return 0, 0
        asked, answered = json.loads(exchange.body), json.loads(exchange.content)
        after = self._written(call, exchange.body)
        if after:
            units = sum(begun(max(pair), 1024) for pair in zip(self.before.sizes, after, strict=True))
            return 0, units * (2 if "Transact" in call else 1)
        assert exchange.status == 200, f"{call}: {exchange.content}"
        if call.endswith(".Query"):
            assert not {"IndexName", "FilterExpression"} & set(asked), "units of indexes and filters are not known here"
            return begun(sum(map(size, answered["Items"])), 4096) * consistency(asked), 0
        if call.endswith(".GetItem"):
            return begun(size(answered.get("Item", {})), 4096) * consistency(asked), 0
        if call.endswith(".BatchGetItem"):
            units = 0
            for table, wanted in asked["RequestItems"].items():
                found = answered["Responses"].get(table, [])
                missing = len(wanted["Keys"]) - len(found)
                units += (sum(begun(size(item), 4096) for item in found) + missing) * consistency(wanted)
            return units, 0
        raise AssertionError(f"nobody has told what {call} costs")


def consistency(asked):
    return 1 if asked.get("ConsistentRead") else 0.5


def begun(octets, unit):
    """Units begun; a request costs one at least."""
    return max(1, math.ceil(octets / unit))


def size(item):
    """Bytes of a row as DynamoDB counts them."""
    return sum(len(name.encode()) + value_size(value) for name, value in item.items())


def value_size(value):
    [(kind, inner)] = value.items()
    if kind == "S":
        return len(inner.encode())
    if kind == "N":
        return len(inner.strip("-").replace(".", "").strip("0")) // 2 + 2
    if kind == "B":
        return len(inner) * 3 // 4 if isinstance(inner, str) else len(inner)
    if kind in ("SS", "NS", "BS"):
        return sum(value_size({kind[0]: each}) for each in inner)
    if kind == "L":
        return 3 + sum(1 + value_size(each) for each in inner)
    if kind == "M":
        return 3 + sum(1 + len(name.encode()) + value_size(each) for name, each in inner.items())
    return 1

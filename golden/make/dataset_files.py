"""Writes golden/datasets/*.parquet, as pyarrow writes them, with what is in them in manifest.json."""

import datetime
import hashlib
import json
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

ALPACA = [
    {"id": 1, "instruction": "Say hi.", "input": "", "output": "Hi!", "score": 0.5},
    {"id": 2, "instruction": "Add.", "input": "2 + 3", "output": "5", "score": None},
    {"id": 2**60, "instruction": "用中文说你好", "input": None, "output": "你好", "score": 1.0},
]
CALL = {"name": "weather", "arguments": '{"city": "Rome"}'}
MESSAGES = [
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]},
    {
        "messages": [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": CALL}]},
            {"role": "tool", "content": "sunny"},
            {"role": "assistant", "content": "Sunny."},
        ]
    },
    {"messages": [{"role": "user", "content": "Bye"}, {"role": "assistant", "content": "Bye!"}]},
]


def main():
    folder = pathlib.Path(__file__).parents[1] / "datasets"
    folder.mkdir(exist_ok=True)
    at = datetime.datetime(2024, 6, 1, 12, tzinfo=datetime.timezone.utc)
    files = {
        "alpaca.parquet": ([{**row, "made": at} for row in ALPACA], {"compression": "zstd"}),
        # Two row groups: readers go through them one at a time.
        "messages.parquet": (MESSAGES, {"compression": "snappy", "row_group_size": 2}),
    }
    manifest = {"made": {"pyarrow": pa.__version__}, "files": {}}
    for name, (rows, options) in files.items():
        pq.write_table(pa.Table.from_pylist(rows), folder / name, **options)
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        manifest["files"][name] = {"sha256": digest, "rows": len(rows)}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


if __name__ == "__main__":
    main()

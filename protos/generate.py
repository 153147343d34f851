"""Generates the stubs in `soms/rpc/gen` from the .proto files here: `python protos/generate.py [folder]`; committed unmodified."""
# ruff: noqa: INP001 - a script, not a package

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROTOS = Path(__file__).resolve().parent
STUBS = PROTOS.parent / "soms/rpc/gen"
OPTIONS = "client_generation=async,server_generation=async,google_protobuf_descriptors"


def generate(folder: Path, protos: Path = PROTOS, options: str = OPTIONS) -> None:
    """Put the stubs of all files below `protos` into `folder`.

    The compiler formats its work by the configuration of the folder it runs in, so it runs where there is none.
    """
    tools = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    files = sorted(str(path) for path in protos.rglob("*.proto"))
    output = [f"--python_betterproto2_out={folder.resolve()}", f"--python_betterproto2_opt={options}"]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{protos}", *output, *files]
    with tempfile.TemporaryDirectory() as elsewhere:
        subprocess.run(command, cwd=elsewhere, env=tools, check=True, stderr=subprocess.DEVNULL)  # noqa: S603 - our own files


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else STUBS
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    generate(target)

"""compdb.py ACTIONS EXECUTION_ROOT: writes compile_commands.json from the actions that `bazel aquery` printed."""

import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# g++'s own, or upsetting clang-tidy (Bazel redefines __DATE__), or of no use to a reader.
DROP = ("-fno-canonical-system-headers", "-D__DATE__", "-D__TIME", "-MD")
# g++'s names of warnings, which clang would complain of; and clang-tidy has its own WarningsAsErrors.
WARNINGS = ("-Werror", "-Wno-free-nonheap-object", "-Wunused-but-set-parameter")


def reader_arguments(arguments, source):
    """What clang understands; generated headers are system headers: nobody is warned of what protoc writes.

    Sources and their headers are those of the checkout: the execution root has links to what was last built alone.
    """
    here = {".": str(ROOT), source: str(ROOT / source)}
    kept = []
    for argument in arguments:
        argument = here.get(argument, argument)
        if argument.startswith("bazel-out/") and kept and kept[-1] in ("-iquote", "-I"):
            kept[-1] = "-isystem"
        elif argument.startswith("-Ibazel-out/"):
            kept.append("-isystem")
            argument = argument[len("-I"):]
        if not argument.startswith(DROP) and argument not in WARNINGS:
            kept.append(argument)
    return kept


def main(actions, execution_root):
    with open(actions, encoding="utf-8") as file:
        graph = json.load(file)
    commands = {}
    for action in graph["actions"]:
        arguments = action["arguments"]
        source = arguments[arguments.index("-c") + 1]
        if not source.startswith(("external/", "bazel-out/")):
            commands[source] = {"directory": execution_root, "file": str(ROOT / source),
                                "arguments": reader_arguments(arguments, source)}
    (ROOT / "compile_commands.json").write_text(json.dumps(list(commands.values()), indent=1))
    print(f"compile_commands.json: {len(commands)} files")


if __name__ == "__main__":
    main(*sys.argv[1:])

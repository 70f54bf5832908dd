"""fuzz_target: a libFuzzer program; builds under --config=fuzz alone (dev/fuzz)."""

load("@rules_cc//cc:defs.bzl", "cc_binary")

def fuzz_target(name, deps, srcs = []):
    cc_binary(
        name = name + "_fuzz",
        testonly = True,
        srcs = [
            name + "_fuzz.cc",
            "check.h",
        ] + srcs,
        linkopts = ["-fsanitize=fuzzer"],
        tags = ["manual"],  # g++ has no libFuzzer, and //... is built with it.
        deps = deps,
    )

"""cc_grpc_library: C++ from a proto_library with the system's protoc and grpc_cpp_plugin."""

load("@rules_cc//cc:defs.bzl", "cc_library")

def _import_path(file, roots):
    """The name by which other protos import this file."""
    for root in roots:
        if root != "." and file.path.startswith(root + "/"):
            return file.path[len(root) + 1:]
    return file.path

def _generate_impl(ctx):
    info = ctx.attr.proto[ProtoInfo]
    roots = info.transitive_proto_path.to_list()
    suffixes = [".pb.h", ".pb.cc"] + ([".grpc.pb.h", ".grpc.pb.cc"] if ctx.attr.grpc else [])
    names = [_import_path(src, roots) for src in info.direct_sources]

    # Each target has a folder of its own, which is its include path.
    outs = [
        ctx.actions.declare_file(ctx.label.name + "/" + name[:-len(".proto")] + suffix)
        for name in names
        for suffix in suffixes
    ]
    folder = outs[0].path[:-len(names[0][:-len(".proto")] + suffixes[0])]

    args = ctx.actions.args()
    args.add_all(roots, format_each = "-I%s")
    args.add("--cpp_out=" + folder)
    if ctx.attr.grpc:
        args.add("--grpc_out=" + folder)
        args.add("--plugin=protoc-gen-grpc=" + ctx.executable._plugin.path)
    args.add_all(names)
    ctx.actions.run(
        executable = ctx.executable._protoc,
        arguments = [args],
        inputs = info.transitive_sources,
        tools = [ctx.executable._plugin],
        outputs = outs,
        mnemonic = "ProtocCpp",
    )
    return [DefaultInfo(files = depset(outs))]

_generate = rule(
    implementation = _generate_impl,
    attrs = {
        "proto": attr.label(mandatory = True, providers = [ProtoInfo]),
        "grpc": attr.bool(default = True),
        "_protoc": attr.label(
            default = "@com_google_protobuf//:protoc",
            executable = True,
            cfg = "host",
            allow_single_file = True,
        ),
        "_plugin": attr.label(
            default = "@com_google_protobuf//:grpc_cpp_plugin",
            executable = True,
            cfg = "host",
            allow_single_file = True,
        ),
    },
)

def cc_grpc_library(name, proto, grpc = True, deps = [], **kwargs):
    _generate(name = name + "_gen", proto = proto, grpc = grpc)
    cc_library(
        name = name,
        srcs = [":" + name + "_gen"],
        includes = [name + "_gen"],
        deps = deps + ["@tokenbroker//third_party/grpc" if grpc else "@tokenbroker//third_party/grpc:protobuf"],
        **kwargs
    )

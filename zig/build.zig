const std = @import("std");

pub fn build(b: *std.Build) void {
    // glibc 2.28: what the oldest distributions in support have (RHEL 8, Debian 10).
    const target = b.standardTargetOptions(.{ .default_target = .{
        .os_tag = .linux,
        .abi = .gnu,
        .cpu_model = .baseline,
        .glibc_version = .{ .major = 2, .minor = 28, .patch = 0 },
    } });
    const optimize = b.option(std.builtin.OptimizeMode, "optimize", "How to optimise the library") orelse .ReleaseSafe;
    const thread_sanitizer = b.option(bool, "tsan", "Run the tests under ThreadSanitizer") orelse false;

    const library = b.addLibrary(.{
        .name = "cuframes",
        .linkage = .dynamic,
        .root_module = b.createModule(.{
            .root_source_file = b.path("src/lib.zig"),
            .target = target,
            .optimize = optimize,
            .strip = optimize != .Debug,
            .link_libc = true,
        }),
    });
    b.installArtifact(library);

    const bindings = b.addExecutable(.{
        .name = "bindings",
        .root_module = b.createModule(.{
            .root_source_file = b.path("src/bindings.zig"),
            .target = b.graph.host,
            .optimize = .Debug,
            .link_libc = true,
        }),
    });
    const bindings_step = b.step("bindings", "Write the TypeScript side of the C ABI into share/");
    for ([_][]const u8{ "layout", "symbols" }) |name| {
        const run = b.addRunArtifact(bindings);
        run.addArg(name);
        const file = run.captureStdOut(.{});
        bindings_step.dependOn(&b.addInstallFileWithDir(file, .prefix, b.fmt("share/{s}.ts", .{name})).step);
    }

    // libcuda.so.1 for tests without a GPU: see the head of test/cuda_double/libcuda.zig.
    const cuda_double = b.addLibrary(.{
        .name = "cuda",
        .linkage = .dynamic,
        .version = .{ .major = 1, .minor = 0, .patch = 0 },
        .root_module = b.createModule(.{
            .root_source_file = b.path("../test/cuda_double/libcuda.zig"),
            .target = target,
            .optimize = .ReleaseSafe,
            .link_libc = true,
            .imports = &.{.{ .name = "cuda", .module = b.createModule(.{ .root_source_file = b.path("src/cuda/driver.zig") }) }},
        }),
    });
    const cuda_double_step = b.step("cuda_double", "Build the test double of libcuda.so.1 into test/");
    cuda_double_step.dependOn(&b.addInstallFileWithDir(cuda_double.getEmittedBin(), .prefix, "test/libcuda.so.1").step);

    // Drivers translate PTX for sm_70 to every GPU since Volta.
    const compile = b.addSystemCommand(&.{
        b.graph.zig_exe,                     "cc", "-target", "nvptx64-cuda", "-mcpu=sm_70", "-O2", "-S", "-Wall", "-Werror",
        // Zig passes these on, and this target has no use for them.
        "-Wno-unused-command-line-argument",
    });
    compile.addFileArg(b.path("kernels/test.c"));
    const kernels = compile.addPrefixedOutputFileArg("-o", "test.ptx");
    const kernels_step = b.step("kernels", "Compile the GPU tests' kernels to PTX into share/");
    kernels_step.dependOn(&b.addInstallFileWithDir(kernels, .prefix, "share/test.ptx").step);

    const tests = b.addTest(.{
        .root_module = b.createModule(.{
            .root_source_file = b.path("src/lib.zig"),
            .target = b.graph.host,
            .optimize = .Debug,
            .link_libc = true,
            .sanitize_thread = thread_sanitizer,
        }),
        // ThreadSanitizer reports nothing with Zig's own backend.
        .use_llvm = if (thread_sanitizer) true else null,
    });
    const test_step = b.step("test", "Run the Zig tests");
    test_step.dependOn(&b.addRunArtifact(tests).step);
}

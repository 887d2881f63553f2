//! This script builds the library, what other languages see of it, the doubles of the drivers' libraries, and the tests
//! of all that.

const std = @import("std");

/// What the oldest distributions in support have (RHEL 8, Debian 10).
const oldest_glibc: std.SemanticVersion = .{ .major = 2, .minor = 28, .patch = 0 };

const Platform = struct {
    /// As src/ffi/platform.ts calls it.
    name: []const u8,
    arch: std.Target.Cpu.Arch,
    abi: std.Target.Abi,

    fn query(platform: Platform) std.Target.Query {
        return .{
            .cpu_arch = platform.arch,
            .os_tag = .linux,
            .abi = platform.abi,
            .cpu_model = .baseline,
            .glibc_version = if (platform.abi == .gnu) oldest_glibc else null,
        };
    }
};

const platforms = [_]Platform{
    .{ .name = "x64-glibc", .arch = .x86_64, .abi = .gnu },
    .{ .name = "x64-musl", .arch = .x86_64, .abi = .musl },
    .{ .name = "arm64-glibc", .arch = .aarch64, .abi = .gnu },
    .{ .name = "arm64-musl", .arch = .aarch64, .abi = .musl },
};

fn addShim(
    b: *std.Build,
    target: std.Build.ResolvedTarget,
    optimize: std.builtin.OptimizeMode,
) *std.Build.Step.Compile {
    return b.addLibrary(.{
        .name = "cuframes",
        .linkage = .dynamic,
        .root_module = b.createModule(.{
            .root_source_file = b.path("src/lib.zig"),
            .target = target,
            .optimize = optimize,
            .strip = optimize != .Debug,
            .link_libc = true,
        }),
        // gdb finds lines only in what LLVM has compiled.
        .use_llvm = if (optimize == .Debug) true else null,
    });
}

/// What a build was asked for.
const Options = struct {
    target: std.Build.ResolvedTarget,
    optimize: std.builtin.OptimizeMode,
    /// The tests whose name has one of these; all where there is none.
    test_filters: []const []const u8,
};

pub fn build(b: *std.Build) void {
    const target = b.standardTargetOptions(.{ .default_target = .{
        .os_tag = .linux,
        .abi = .gnu,
        .cpu_model = .baseline,
        .glibc_version = oldest_glibc,
    } });
    const optimize = b.option(std.builtin.OptimizeMode, "optimize", "How to optimise the library") orelse .ReleaseSafe;
    const test_filters = b.option([]const []const u8, "test-filter", "Run tests with this in their name") orelse &.{};

    const options: Options = .{ .target = target, .optimize = optimize, .test_filters = test_filters };

    b.installArtifact(addShim(b, target, optimize));
    addRelease(b);
    const bindings_module = addBindings(b);
    const doubles = addDoubles(b, options);
    addKernels(b);
    addTests(b, options, bindings_module, doubles);
}

fn addRelease(b: *std.Build) void {
    const release_step = b.step("release", "Build the library of every platform that is released into release/");
    for (platforms) |platform| {
        const shim = addShim(b, b.resolveTargetQuery(platform.query()), .ReleaseSafe);
        const install = b.addInstallFileWithDir(
            shim.getEmittedBin(),
            .prefix,
            b.fmt("release/libcuframes-{s}.so", .{platform.name}),
        );
        release_step.dependOn(&install.step);
    }
}

/// Returns the module of the program that writes them, which has tests.
fn addBindings(b: *std.Build) *std.Build.Module {
    const bindings_module = b.createModule(.{
        .root_source_file = b.path("bindings.zig"),
        .target = b.graph.host,
        .optimize = .Debug,
        .link_libc = true,
    });
    const bindings = b.addExecutable(.{ .name = "bindings", .root_module = bindings_module });
    const bindings_step = b.step("bindings", "Write what other languages see of the C ABI into share/");
    for ([_]struct { []const u8, []const u8 }{
        .{ "constants", "constants.ts" },
        .{ "layout", "layout.ts" },
        .{ "symbols", "symbols.ts" },
        .{ "header", "cuframes.h" },
        .{ "python", "_abi.py" },
    }) |output| {
        const what, const file = output;
        const run = b.addRunArtifact(bindings);
        run.addArg(what);
        const text = run.captureStdOut(.{});
        bindings_step.dependOn(&b.addInstallFileWithDir(text, .prefix, b.fmt("share/{s}", .{file})).step);
    }
    return bindings_module;
}

/// The libraries that stand for the drivers' in tests, and the program that holds them to the drivers' contract.
const Doubles = struct {
    step: *std.Build.Step,
    cuda: *std.Build.Step.Compile,
    conformance: *std.Build.Step.Compile,
};

fn addDoubles(b: *std.Build, options: Options) Doubles {
    const cuda = b.createModule(.{ .root_source_file = b.path("cuda.zig") });

    // libcuda.so.1 for tests without a GPU: see the head of test/cuda_double/libcuda.zig.
    const cuda_double = b.addLibrary(.{
        .name = "cuda",
        .linkage = .dynamic,
        .version = .{ .major = 1, .minor = 0, .patch = 0 },
        .root_module = b.createModule(.{
            .root_source_file = b.path("../test/cuda_double/libcuda.zig"),
            .target = options.target,
            .optimize = .ReleaseSafe,
            .link_libc = true,
            .imports = &.{.{ .name = "cuda", .module = cuda }},
        }),
    });
    const cuda_double_step = b.step("cuda_double", "Build the test doubles of libcuda.so.1 and libEGL.so.1 into test/");
    cuda_double_step.dependOn(&b.addInstallFileWithDir(cuda_double.getEmittedBin(), .prefix, "test/libcuda.so.1").step);

    const conformance = b.addExecutable(.{
        .name = "conformance",
        .root_module = b.createModule(.{
            .root_source_file = b.path("../test/cuda_double/conformance.zig"),
            .target = options.target,
            .optimize = .Debug,
            .link_libc = true,
            .imports = &.{.{ .name = "cuda", .module = cuda }},
        }),
    });
    cuda_double_step.dependOn(&b.addInstallFileWithDir(conformance.getEmittedBin(), .prefix, "test/conformance").step);

    addEglDouble(b, options, cuda_double_step);
    return .{ .step = cuda_double_step, .cuda = cuda_double, .conformance = conformance };
}

fn addEglDouble(b: *std.Build, options: Options, step: *std.Build.Step) void {
    // libEGL.so.1 beside it: see the head of test/cuda_double/libegl.zig.
    const egl_double = b.addLibrary(.{
        .name = "EGL",
        .linkage = .dynamic,
        .version = .{ .major = 1, .minor = 0, .patch = 0 },
        .root_module = b.createModule(.{
            .root_source_file = b.path("../test/cuda_double/libegl.zig"),
            .target = options.target,
            .optimize = .ReleaseSafe,
            .link_libc = true,
            .imports = &.{.{ .name = "egl", .module = b.createModule(.{ .root_source_file = b.path("egl.zig") }) }},
        }),
    });
    step.dependOn(
        &b.addInstallFileWithDir(egl_double.getEmittedBin(), .prefix, "test/egl/libEGL.so.1").step,
    );
}

fn addKernels(b: *std.Build) void {
    // Drivers translate PTX for sm_70 to every GPU since Volta.
    const compile = b.addSystemCommand(&.{
        b.graph.zig_exe, "cc",      "-target",                           "nvptx64-cuda", "-mcpu=sm_70", "-O2", "-S",
        "-Wall",         "-Werror",
        // Zig passes these on, and this target has no use for them.
        "-Wno-unused-command-line-argument",
    });
    compile.addFileArg(b.path("kernels/test.c"));
    const kernels = compile.addPrefixedOutputFileArg("-o", "test.ptx");
    const kernels_step = b.step("kernels", "Compile the GPU tests' kernels to PTX into share/");
    kernels_step.dependOn(&b.addInstallFileWithDir(kernels, .prefix, "share/test.ptx").step);
}

fn addTests(b: *std.Build, options: Options, bindings_module: *std.Build.Module, doubles: Doubles) void {
    // For another machine as it is released: an emulator is slow enough as it is.
    const foreign = b.user_input_options.contains("target");
    const test_options = b.addOptions();
    test_options.addOption(bool, "emulated", foreign and b.enable_qemu);
    const compile_tests_step = b.step("compile_tests", "Compile the Zig tests into test/, and run none");
    const test_step = b.step("test", "Run the Zig tests");
    const test_tsan_step = b.step("test_tsan", "Run the Zig tests under ThreadSanitizer");
    for ([_]*std.Build.Step{ test_step, test_tsan_step }) |step| {
        const thread_sanitizer = step == test_tsan_step;
        const tests = b.addTest(.{
            .root_module = b.createModule(.{
                .root_source_file = b.path("src/lib.zig"),
                .target = if (foreign) options.target else b.graph.host,
                .optimize = if (foreign) options.optimize else .Debug,
                .link_libc = true,
                .sanitize_thread = thread_sanitizer,
            }),
            .filters = options.test_filters,
            // ThreadSanitizer reports nothing with Zig's own backend.
            .use_llvm = if (thread_sanitizer) true else null,
        });
        tests.root_module.addOptions("test_options", test_options);
        const name = if (thread_sanitizer) "test/zig_tests_tsan" else "test/zig_tests";
        compile_tests_step.dependOn(&b.addInstallFileWithDir(tests.getEmittedBin(), .prefix, name).step);
        step.dependOn(&b.addRunArtifact(tests).step);
    }

    if (!foreign and options.test_filters.len == 0) {
        const bindings_tests = b.addTest(.{ .name = "bindings", .root_module = bindings_module });
        test_step.dependOn(&b.addRunArtifact(bindings_tests).step);

        const run = b.addRunArtifact(doubles.conformance);
        run.setEnvironmentVariable("LD_LIBRARY_PATH", b.getInstallPath(.prefix, "test"));
        run.step.dependOn(doubles.step);
        run.addFileInput(doubles.cuda.getEmittedBin());
        _ = run.captureStdErr(.{}); // shown when it fails
        test_step.dependOn(&run.step);
    }
}

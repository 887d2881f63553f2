//! This file opens the CUDA driver at run time: nothing is linked and no toolkit is needed.
//!
//! Symbols are looked up with `dlsym` under their suffixed names rather than asked of
//! `cuGetProcAddress`: a suffixed export has one ABI for ever (where `cuGetProcAddress` picks one by a
//! version number: "cuCtxGetDevice" takes other parameters from 13.0 on), it is there in every driver
//! since 10.2 (the other since 11.3), and one way to resolve is one way to fail.

const std = @import("std");
const assert = std.debug.assert;

const Mutex = @import("../os/mod.zig").mutex.Mutex;
pub const abi = @import("abi.zig");
pub const devices = @import("devices.zig");
const CUresult = abi.CUresult;
const Function = abi.Function;
const Arguments = abi.Arguments;

pub const Error = error{
    /// CUDA cannot be used here; the `Failure` says why. Host memory works all the same.
    CudaUnsupported,
    /// A driver call failed; `Failure.call_failed` says which and how.
    CudaFailed,
};

/// Why a function of this directory returned an `Error`. Written only when it did; `{f}` prints one
/// sentence for a person. Its strings belong to the driver, which is never unloaded.
pub const Failure = union(enum) {
    none,
    /// There is no libcuda.so.1, or it cannot be loaded. Holds the dynamic linker's reason.
    library_not_found: Text,
    /// The driver is too old: it lacks a function.
    symbol_missing: struct {
        symbol: [:0]const u8,
        /// The first CUDA version that has it, and the one this driver is for (0: it does not say),
        /// as 1000 × major + 10 × minor.
        since: u32,
        version: u32,
    },
    /// `cuInit` failed because this user may not open the device nodes.
    no_permission: Call,
    /// `cuInit` failed because libcuda and the kernel's driver are not of one version.
    driver_mismatch: Call,
    /// The driver works but shows no device: none is there, or CUDA_VISIBLE_DEVICES hides them.
    no_device: Call,
    /// `cuInit` failed for a reason that only the driver knows.
    initialization_failed: Call,
    /// A device cannot share memory with other processes.
    device_unsupported: struct {
        ordinal: u32,
        name: Text,
        lacks: enum { virtual_memory_management, posix_file_descriptors },
    },
    call_failed: Call,

    /// A driver function, and the driver's own words for what it returned.
    pub const Call = struct {
        function: [:0]const u8,
        result: CUresult,
        name: [:0]const u8,
        text: [:0]const u8,

        /// "cuMemCreate failed: CUDA_ERROR_OUT_OF_MEMORY (out of memory)"
        pub fn format(call: Call, writer: *std.Io.Writer) std.Io.Writer.Error!void {
            try writer.print("{s} failed: {s} ({s})", .{ call.function, call.name, call.text });
        }
    };

    pub fn format(failure: Failure, writer: *std.Io.Writer) std.Io.Writer.Error!void {
        switch (failure) {
            .none => try writer.writeAll("no failure"),
            .library_not_found => |reason| try writer.print(
                "the CUDA driver cannot be loaded: {s} (in a container, the host's driver must be mounted into it)",
                .{reason.slice()},
            ),
            .symbol_missing => |missing| {
                try writer.print("the CUDA driver is too old: it has no {s}, which CUDA {d}.{d} brought", .{
                    missing.symbol, missing.since / 1000, missing.since % 1000 / 10,
                });
                if (missing.version > 0) try writer.print("; this driver is for CUDA {d}.{d}", .{
                    missing.version / 1000, missing.version % 1000 / 10,
                });
            },
            .no_permission => |call| try writer.print(
                "{f}; this user needs read and write access to {s} and {s}",
                .{ call, device_nodes[0], device_nodes[1] },
            ),
            .driver_mismatch => |call| try writer.print(
                "{f}; libcuda.so.1 and the NVIDIA kernel module must be of the same version",
                .{call},
            ),
            .no_device => |call| try writer.print(
                "{f}; no CUDA device is visible to this process (CUDA_VISIBLE_DEVICES, container device access)",
                .{call},
            ),
            .initialization_failed, .call_failed => |call| try call.format(writer),
            .device_unsupported => |device| try writer.print("CUDA device {d} ({s}) has no {s}", .{
                device.ordinal, device.name.slice(),
                switch (device.lacks) {
                    .virtual_memory_management => "virtual memory management, which shared frames need",
                    .posix_file_descriptors => "memory handles as file descriptors, which shared frames need",
                },
            }),
        }
    }
};

/// A short text of its own, cut where it is too long.
pub const Text = struct {
    bytes: [size_max]u8,
    len: usize,

    pub const size_max = 256;

    pub fn from(text: []const u8) Text {
        var copy: Text = .{ .bytes = undefined, .len = @min(text.len, size_max) };
        @memcpy(copy.bytes[0..copy.len], text[0..copy.len]);
        return copy;
    }

    pub fn slice(text: *const Text) []const u8 {
        return text.bytes[0..text.len];
    }
};

pub const Driver = struct {
    /// The functions themselves, for calls whose result needs no telling (clean-up on an error path).
    functions: abi.Functions,
    /// The CUDA version that the driver is for: 1000 × major + 10 × minor.
    version: u32,

    /// Calls a driver function. Fails with `CudaFailed` for any result but CUDA_SUCCESS.
    /// An optional function must be there: see `has`.
    pub fn call(
        driver: *const Driver,
        comptime function: Function,
        arguments: Arguments(function),
        failure: *Failure,
    ) error{CudaFailed}!void {
        const result = driver.invoke(function, arguments);
        if (result != .CUDA_SUCCESS) return driver.fail(function, result, failure);
    }

    /// Calls `cuEventQuery` or `cuStreamQuery`: true when the work is complete, false while it is not.
    pub fn isComplete(
        driver: *const Driver,
        comptime query: Function,
        arguments: Arguments(query),
        failure: *Failure,
    ) error{CudaFailed}!bool {
        comptime assert(query == .cuEventQuery or query == .cuStreamQuery);
        return switch (driver.invoke(query, arguments)) {
            .CUDA_SUCCESS => true,
            .CUDA_ERROR_NOT_READY => false,
            else => |result| driver.fail(query, result, failure),
        };
    }

    /// Whether this driver has an optional function.
    pub fn has(driver: *const Driver, comptime function: Function) bool {
        comptime assert(abi.declarationOf(function).optional);
        return @field(driver.functions, @tagName(function)) != null;
    }

    /// A function and its result with the driver's own name and text for it.
    pub fn describe(driver: *const Driver, comptime function: Function, result: CUresult) Failure.Call {
        var name: ?[*:0]const u8 = null;
        var text: ?[*:0]const u8 = null;
        // Both leave null for a code that the driver does not know; a stub library fails every call.
        _ = driver.functions.cuGetErrorName(result, &name);
        _ = driver.functions.cuGetErrorString(result, &text);
        return .{
            .function = @tagName(function),
            .result = result,
            .name = if (name) |known| std.mem.span(known) else std.enums.tagName(
                CUresult,
                result,
            ) orelse "unknown CUresult",
            .text = if (text) |known| std.mem.span(known) else "the driver gives no reason",
        };
    }

    inline fn invoke(driver: *const Driver, comptime function: Function, arguments: Arguments(function)) CUresult {
        const pointer = @field(driver.functions, @tagName(function));
        return @call(.auto, if (comptime abi.declarationOf(function).optional) pointer.? else pointer, arguments);
    }

    fn fail(
        driver: *const Driver,
        comptime function: Function,
        result: CUresult,
        failure: *Failure,
    ) error{CudaFailed} {
        @branchHint(.cold);
        assert(result != .CUDA_SUCCESS);
        failure.* = .{ .call_failed = driver.describe(function, result) };
        return error.CudaFailed;
    }
};

/// The process's CUDA driver: loaded, resolved and initialised by the first call that succeeds, and
/// the same one ever after (the driver's threads and strings forbid unloading it). A failure is not
/// remembered. Any thread may call it. At least one device is visible when it returns.
pub fn open(failure: *Failure) error{CudaUnsupported}!*const Driver {
    mutex.lock();
    defer mutex.unlock();
    if (opened == null) opened = try load("libcuda.so.1", failure);
    return &opened.?;
}

/// Guards `opened`.
var mutex: Mutex = .{};
var opened: ?Driver = null;

fn load(path: [*:0]const u8, failure: *Failure) error{CudaUnsupported}!Driver {
    const library = std.c.dlopen(path, .{ .NOW = true }) orelse {
        const reason = std.c.dlerror();
        failure.* = .{ .library_not_found = .from(if (reason) |text| std.mem.span(text) else "it cannot be loaded") };
        return error.CudaUnsupported;
    };
    var driver: Driver = .{ .functions = undefined, .version = 0 };
    try resolve(DynamicLibrary{ .handle = library }, &driver.functions, failure);

    var version: c_int = 0;
    const version_result = driver.functions.cuDriverGetVersion(&version);
    const result = driver.functions.cuInit(0);
    if (result != .CUDA_SUCCESS) {
        failure.* = explain(driver.describe(.cuInit, result), deviceNodesDenied());
        return error.CudaUnsupported;
    }
    if (version_result != .CUDA_SUCCESS or version <= 0) {
        failure.* = .{ .initialization_failed = driver.describe(.cuDriverGetVersion, version_result) };
        return error.CudaUnsupported;
    }
    driver.version = @intCast(version);

    var count: c_int = 0;
    const count_result = driver.functions.cuDeviceGetCount(&count);
    if (count_result != .CUDA_SUCCESS) {
        failure.* = .{ .initialization_failed = driver.describe(.cuDeviceGetCount, count_result) };
        return error.CudaUnsupported;
    }
    if (count <= 0) {
        failure.* = .{ .no_device = driver.describe(.cuDeviceGetCount, .CUDA_ERROR_NO_DEVICE) };
        return error.CudaUnsupported;
    }
    return driver;
}

const DynamicLibrary = struct {
    handle: *anyopaque,

    fn symbol(library: DynamicLibrary, name: [:0]const u8) ?*anyopaque {
        return std.c.dlsym(library.handle, name);
    }
};

/// Fills the table from anything that has `symbol(name) ?*anyopaque`.
fn resolve(library: anytype, functions: *abi.Functions, failure: *Failure) error{CudaUnsupported}!void {
    inline for (abi.functions) |declaration| {
        const address = library.symbol(declaration.name);
        if (declaration.optional) {
            @field(functions, declaration.name) = @ptrCast(@alignCast(address));
        } else {
            @field(functions, declaration.name) = @ptrCast(@alignCast(address orelse {
                failure.* = .{ .symbol_missing = .{
                    .symbol = declaration.name,
                    .since = declaration.since,
                    .version = versionOf(library),
                } };
                return error.CudaUnsupported;
            }));
        }
    }
}

/// `cuDriverGetVersion` may be called before `cuInit`. 0 where it is missing or fails.
fn versionOf(library: anytype) u32 {
    const DriverGetVersion = *const abi.declarationOf(.cuDriverGetVersion).Type();
    const address = library.symbol("cuDriverGetVersion") orelse return 0;
    const driverGetVersion: DriverGetVersion = @ptrCast(@alignCast(address));
    var version: c_int = 0;
    if (driverGetVersion(&version) != .CUDA_SUCCESS) return 0;
    return std.math.cast(u32, version) orelse 0;
}

/// What a failed `cuInit` means. The driver calls devices that it may not open absent, so the
/// permission on their nodes is looked at besides.
fn explain(call: Failure.Call, nodes_denied: bool) Failure {
    return switch (call.result) {
        .CUDA_SUCCESS => unreachable,
        .CUDA_ERROR_NOT_PERMITTED => .{ .no_permission = call },
        .CUDA_ERROR_SYSTEM_DRIVER_MISMATCH,
        .CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE,
        => .{ .driver_mismatch = call },
        .CUDA_ERROR_NO_DEVICE => if (nodes_denied) .{ .no_permission = call } else .{ .no_device = call },
        else => if (nodes_denied) .{ .no_permission = call } else .{ .initialization_failed = call },
    };
}

const device_nodes = [_][:0]const u8{ "/dev/nvidiactl", "/dev/nvidia-uvm" };

fn deviceNodesDenied() bool {
    for (device_nodes) |path| {
        const read_write = std.os.linux.R_OK | std.os.linux.W_OK;
        switch (std.os.linux.errno(std.os.linux.access(path, read_write))) {
            .ACCES, .PERM => return true,
            else => {},
        }
    }
    return false;
}

const testing = std.testing;

/// Has every function but one; each is `fixed`, whatever its parameters.
const FakeLibrary = struct {
    missing: []const u8 = "",
    version: c_int = 0,

    fn symbol(library: FakeLibrary, name: [:0]const u8) ?*anyopaque {
        if (std.mem.eql(u8, name, library.missing)) return null;
        if (std.mem.eql(u8, name, "cuDriverGetVersion")) {
            reported_version = library.version;
            return @ptrCast(@constCast(&getVersion));
        }
        return @ptrCast(@constCast(&fixed));
    }

    fn fixed() callconv(.c) CUresult {
        return .CUDA_ERROR_STUB_LIBRARY;
    }

    var reported_version: c_int = 0;
    fn getVersion(version: *c_int) callconv(.c) CUresult {
        version.* = reported_version;
        return .CUDA_SUCCESS;
    }
};

fn expectText(expected: []const u8, failure: Failure) !void {
    var buffer: [512]u8 = undefined;
    try testing.expectEqualStrings(expected, try std.fmt.bufPrint(&buffer, "{f}", .{failure}));
}

test "a library that is not there is told apart, with the linker's reason" {
    var failure: Failure = .none;
    try testing.expectError(error.CudaUnsupported, load("libcuda-of-no-machine.so.1", &failure));
    try testing.expect(std.mem.find(u8, failure.library_not_found.slice(), "libcuda-of-no-machine.so.1") != null);
}

test "a library without the driver's functions is told apart from none" {
    var failure: Failure = .none;
    try testing.expectError(error.CudaUnsupported, load("libc.so.6", &failure));
    try testing.expectEqualStrings(abi.functions[0].name, failure.symbol_missing.symbol);
    try testing.expectEqual(0, failure.symbol_missing.version);
}

test "each required function that is missing is named, each optional one is not needed" {
    inline for (abi.functions) |declaration| {
        var table: abi.Functions = undefined;
        var failure: Failure = .none;
        const resolved = resolve(FakeLibrary{ .missing = declaration.name, .version = 10010 }, &table, &failure);
        if (declaration.optional) {
            try resolved;
            try testing.expectEqual(null, @field(table, declaration.name));
        } else {
            try testing.expectError(error.CudaUnsupported, resolved);
            try testing.expectEqualStrings(declaration.name, failure.symbol_missing.symbol);
            try testing.expectEqual(declaration.since, failure.symbol_missing.since);
        }
    }
}

test "functions are declared once each" {
    @setEvalBranchQuota(10_000);
    inline for (abi.functions, 0..) |declaration, index| {
        inline for (abi.functions[0..index]) |earlier| {
            try testing.expect(!std.mem.eql(u8, declaration.name, earlier.name));
        }
    }
}

test "a driver too old says which function is missing and which versions matter" {
    var table: abi.Functions = undefined;
    var failure: Failure = .none;
    const old: FakeLibrary = .{ .missing = "cuMemCreate", .version = 9020 };
    try testing.expectError(error.CudaUnsupported, resolve(old, &table, &failure));
    try expectText("the CUDA driver is too old: it has no cuMemCreate, which CUDA 10.2 brought; " ++
        "this driver is for CUDA 9.2", failure);
}

test "a failed call keeps the function and the code, also where the driver has no words for it" {
    var driver: Driver = .{ .functions = undefined, .version = 0 };
    var failure: Failure = .none;
    try resolve(FakeLibrary{}, &driver.functions, &failure);
    try testing.expectEqual(Failure.none, failure);
    try testing.expectError(error.CudaFailed, driver.call(.cuMemRelease, .{1}, &failure));
    try testing.expectEqual(CUresult.CUDA_ERROR_STUB_LIBRARY, failure.call_failed.result);
    try expectText("cuMemRelease failed: CUDA_ERROR_STUB_LIBRARY (the driver gives no reason)", failure);
    try testing.expectError(error.CudaFailed, driver.isComplete(.cuEventQuery, .{null}, &failure));
    try testing.expectEqualStrings("cuEventQuery", failure.call_failed.function);
    const unknown = driver.describe(.cuInit, @enumFromInt(12345));
    try testing.expectEqualStrings("unknown CUresult", unknown.name);
}

test "what a failed cuInit means" {
    const Tag = std.meta.Tag(Failure);
    const cases = [_]struct { CUresult, bool, Tag }{
        .{ .CUDA_ERROR_NO_DEVICE, false, .no_device },
        .{ .CUDA_ERROR_NO_DEVICE, true, .no_permission },
        .{ .CUDA_ERROR_NOT_PERMITTED, false, .no_permission },
        .{ .CUDA_ERROR_OPERATING_SYSTEM, true, .no_permission },
        .{ .CUDA_ERROR_OPERATING_SYSTEM, false, .initialization_failed },
        .{ .CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, true, .driver_mismatch },
        .{ .CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE, false, .driver_mismatch },
        .{ .CUDA_ERROR_STUB_LIBRARY, false, .initialization_failed },
        .{ .CUDA_ERROR_SYSTEM_NOT_READY, false, .initialization_failed },
    };
    for (cases) |case| {
        const result, const denied, const expected = case;
        const failure = explain(.{ .function = "cuInit", .result = result, .name = "N", .text = "t" }, denied);
        try testing.expectEqual(expected, std.meta.activeTag(failure));
    }
}

test "a text that is too long is cut" {
    const long: [Text.size_max + 1]u8 = @splat('x');
    try testing.expectEqualStrings(long[0..Text.size_max], Text.from(&long).slice());
    try testing.expectEqualStrings("", Text.from("").slice());
}

//! This file opens EGL at run time: nothing is linked.

const std = @import("std");
const errors = @import("../core/mod.zig").errors;
const Mutex = @import("../os/mod.zig").mutex.Mutex;
pub const abi = @import("abi.zig");
const Error = errors.Error;

/// A driver's number for why a call failed, in EGL's own words.
pub fn nameOf(code: abi.Code) []const u8 {
    return std.enums.tagName(abi.Code, code) orelse "an unknown error";
}

pub const Driver = struct {
    functions: abi.Functions,

    /// Calls a function; one that is not there was not looked for in the extensions.
    pub inline fn call(
        driver: *const Driver,
        comptime function: abi.Function,
        arguments: abi.Arguments(function),
    ) abi.declarationOf(function).result {
        const pointer = @field(driver.functions, @tagName(function));
        return @call(.auto, if (comptime abi.declarationOf(function).optional) pointer.? else pointer, arguments);
    }

    /// The calling thread's last error, which is forgotten.
    pub fn lastError(driver: *const Driver) abi.Code {
        return driver.call(.eglGetError, .{});
    }

    /// The error and sentence for a call that has just failed.
    pub fn explain(driver: *const Driver, comptime function: abi.Function) Error {
        const code = driver.lastError();
        return errors.fail(kindOf(code), "{t} failed: {s}", .{ function, nameOf(code) });
    }

    /// Unsupported unless the functions are there.
    pub fn require(driver: *const Driver, comptime wanted: []const abi.Function) Error!void {
        inline for (wanted) |function| {
            if (@field(driver.functions, @tagName(function)) == null) return errors.fail(
                error.Unsupported,
                "this EGL has no {t}",
                .{function},
            );
        }
    }
};

pub fn kindOf(code: abi.Code) Error {
    return switch (code) {
        .EGL_BAD_ACCESS => error.Permission,
        .EGL_BAD_ALLOC => error.OutOfMemory,
        .EGL_BAD_MATCH => error.Format,
        .EGL_BAD_ATTRIBUTE, .EGL_BAD_PARAMETER, .EGL_BAD_DISPLAY => error.InvalidArgument,
        .EGL_NOT_INITIALIZED => error.Unsupported,
        else => error.Io,
    };
}

/// Whether a list of names separated by spaces has this one.
pub fn hasExtension(list: ?[*:0]const u8, name: []const u8) bool {
    var names = std.mem.tokenizeScalar(u8, std.mem.span(list orelse return false), ' ');
    while (names.next()) |each| if (std.mem.eql(u8, each, name)) return true;
    return false;
}

var mutex: Mutex = .{};
var opened: ?Driver = null;

/// The process's EGL, loaded and resolved by the first call that succeeds; never unloaded. A failure is not remembered.
pub fn open() Error!*const Driver {
    mutex.lock();
    defer mutex.unlock();
    if (opened == null) opened = try load("libEGL.so.1");
    return &opened.?;
}

fn load(name: [:0]const u8) Error!Driver {
    const library = std.c.dlopen(name, .{ .NOW = true }) orelse {
        const reason = std.c.dlerror();
        return errors.fail(error.Unsupported, "EGL cannot be loaded: {s} (Debian's package is libegl1; in a " ++
            "container, the graphics capability of the driver)", .{
            if (reason) |text| std.mem.span(text) else name,
        });
    };
    var driver: Driver = .{ .functions = undefined };
    inline for (abi.functions) |declaration| {
        if (!declaration.optional) {
            @field(
                driver.functions,
                declaration.name,
            ) = @ptrCast(@alignCast(std.c.dlsym(library, declaration.name) orelse {
                return errors.fail(error.Unsupported, "{s} is not EGL: it has no {s}", .{ name, declaration.name });
            }));
        }
    }
    inline for (abi.functions) |declaration| {
        if (declaration.optional) @field(driver.functions, declaration.name) = @ptrCast(
            @alignCast(driver.functions.eglGetProcAddress(declaration.name)),
        );
    }
    return driver;
}

const testing = std.testing;

test "a name in a list of extensions is found whole" {
    try testing.expect(hasExtension("EGL_a EGL_ab", "EGL_ab"));
    try testing.expect(hasExtension("EGL_a EGL_ab", "EGL_a"));
    try testing.expect(!hasExtension("EGL_abc", "EGL_ab"));
    try testing.expect(!hasExtension(null, "EGL_ab"));
}

test "a library that is not there, or is something else, is told apart" {
    try testing.expectError(error.Unsupported, load("libEGL-of-no-machine.so.1"));
    try testing.expect(std.mem.find(u8, errors.message(), "libEGL-of-no-machine.so.1") != null);
    try testing.expectError(error.Unsupported, load("libc.so.6"));
    try testing.expect(std.mem.find(u8, errors.message(), "eglGetProcAddress") != null);
}

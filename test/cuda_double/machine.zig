//! This is the machine that the double plays, as the environment describes it (see libcuda.zig).

const std = @import("std");
const cuda = @import("cuda");
const abi = cuda.abi;

pub const devices_max = 8;
pub const granularity = 2 << 20;

pub var config: Config = .{};

/// The physical indices of the devices that this process sees, in its order.
pub var visible: []const u8 = &.{};
var visible_storage: [devices_max]u8 = undefined;

pub const Config = struct {
    devices: u32 = 1,
    /// Processes that name the same machine share its devices' UUIDs and memory.
    machine: []const u8 = "0",
    /// Bytes on each device.
    memory: u64 = 8 << 30,
    driver_version: u32 = 13000,
    /// Each bit a physical device.
    no_vmm: u8 = 0,
    no_posix_fd: u8 = 0,
    no_dma_buf: u8 = 0,
    /// Names of functions to hide, separated by commas.
    missing: []const u8 = "",
    /// Failures to inject, as faults.zig reads them.
    fail: []const u8 = "",
    /// How long each copy or fill takes at least.
    delay_us: u32 = 0,
};

pub fn readEnvironment() void {
    inline for (.{
        .{ "CUDA_DOUBLE_DEVICES", "devices" },
        .{ "CUDA_DOUBLE_MEMORY", "memory" },
        .{ "CUDA_DOUBLE_DRIVER_VERSION", "driver_version" },
        .{ "CUDA_DOUBLE_DELAY_US", "delay_us" },
    }) |setting| {
        if (environment(setting[0])) |text| {
            const field = &@field(config, setting[1]);
            field.* = std.fmt.parseInt(@TypeOf(field.*), text, 10) catch die(setting[0] ++ " is not a number");
        }
    }
    if (config.devices > devices_max) die("CUDA_DOUBLE_DEVICES is over 8");
    inline for (.{
        .{ "CUDA_DOUBLE_NO_VMM", "no_vmm" },
        .{ "CUDA_DOUBLE_NO_POSIX_FD", "no_posix_fd" },
        .{ "CUDA_DOUBLE_NO_DMA_BUF", "no_dma_buf" },
    }) |setting| {
        if (environment(setting[0])) |text| @field(config, setting[1]) = deviceMask(text, setting[0]);
    }
    inline for (.{
        .{ "CUDA_DOUBLE_MACHINE", "machine" },
        .{ "CUDA_DOUBLE_MISSING", "missing" },
        .{ "CUDA_DOUBLE_FAIL", "fail" },
    }) |setting| {
        if (environment(setting[0])) |text| @field(config, setting[1]) = text;
    }
    readVisibleDevices();
}

/// A setting that a test misspelt must not make the test pass.
pub fn die(comptime message: []const u8) noreturn {
    std.debug.print("the double of libcuda.so.1: " ++ message ++ "\n", .{});
    std.c.abort();
}

fn environment(name: [:0]const u8) ?[]const u8 {
    return std.mem.span(std.c.getenv(name) orelse return null);
}

/// "all", or physical indices separated by commas.
fn deviceMask(text: []const u8, comptime name: []const u8) u8 {
    if (std.mem.eql(u8, text, "all")) return 0xff;
    var mask: u8 = 0;
    var parts = std.mem.splitScalar(u8, text, ',');
    while (parts.next()) |part| {
        mask |= @as(u8, 1) << (std.fmt.parseInt(u3, part, 10) catch die(name ++ " is not a list of devices"));
    }
    return mask;
}

/// As the driver reads it: indices or beginnings of "GPU-<uuid>", up to the first that names no device
/// or one already named.
fn readVisibleDevices() void {
    var count: usize = 0;
    if (environment("CUDA_VISIBLE_DEVICES")) |text| {
        var parts = std.mem.splitScalar(u8, text, ',');
        parts: while (parts.next()) |untrimmed| {
            const part = std.mem.trim(u8, untrimmed, " ");
            const index = for (0..config.devices) |candidate| {
                if (names(part, @intCast(candidate))) break candidate;
            } else break;
            for (visible_storage[0..count]) |earlier| if (earlier == index) break :parts;
            visible_storage[count] = @intCast(index);
            count += 1;
        }
    } else {
        count = config.devices;
        for (visible_storage[0..count], 0..) |*slot, index| slot.* = @intCast(index);
    }
    visible = visible_storage[0..count];
}

fn names(part: []const u8, index: u32) bool {
    if (std.fmt.parseInt(u32, part, 10)) |number| return number == index else |_| {}
    if (part.len <= 4) return false;
    var buffer: [40]u8 = undefined;
    const hex = std.fmt.bytesToHex(uuid(index), .lower);
    const full = std.fmt.bufPrint(&buffer, "GPU-{s}-{s}-{s}-{s}-{s}", .{
        hex[0..8], hex[8..12], hex[12..16], hex[16..20], hex[20..32],
    }) catch unreachable;
    return std.mem.startsWith(u8, full, part);
}

/// The UUID of a physical device.
pub fn uuid(index: u32) abi.CUuuid {
    var bytes: abi.CUuuid = undefined;
    std.mem.writeInt(u64, bytes[0..8], std.hash.Wyhash.hash(index + 1, config.machine), .big);
    std.mem.writeInt(u64, bytes[8..16], std.hash.Wyhash.hash(0, config.machine), .big);
    return bytes;
}

/// The physical device of an ordinal of this process.
pub fn physical(ordinal: c_int) ?u32 {
    const index = std.math.cast(usize, ordinal) orelse return null;
    return if (index < visible.len) visible[index] else null;
}

/// The ordinal of a physical device in this process.
pub fn ordinalOf(device: u32) ?c_int {
    for (visible, 0..) |candidate, ordinal| if (candidate == device) return @intCast(ordinal);
    return null;
}

pub fn lacks(mask: u8, device: u32) bool {
    return mask >> @intCast(device) & 1 != 0;
}

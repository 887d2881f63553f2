//! Device memory is made of memfds. A device address lies in a range that the CPU cannot touch (PROT_NONE); the
//! double itself copies through a mapping of its own, elsewhere.

const std = @import("std");
const assert = std.debug.assert;
const linux = std.os.linux;
const cuda = @import("cuda");
const abi = cuda.abi;
const CUresult = abi.CUresult;

const machine = @import("machine.zig");
const Table = @import("handles.zig").Table;

const page_size = std.heap.page_size_min;
const memfd_prefix = "libcuda-double-";

/// What one `cuMemCreate`, import or `cuMemAlloc` gave.
const Allocation = struct {
    descriptor: c_int,
    alias: []align(page_size) u8,
    /// Physical index.
    device: u32,
    exportable: bool,
    /// Held by the caller: 1 until `cuMemRelease`.
    handles: u32,
    /// Mappings, and copies under way.
    uses: u32,
};

pub var allocations: Table(.allocation, Allocation, 4095) = .{};

pub const Reservation = struct { start: u64, size: usize };
pub var reservations: List(Reservation, 4096) = .{};

pub const Mapping = struct {
    start: u64,
    size: usize,
    allocation: u64,
    /// What each physical device may do there.
    access: [machine.devices_max]abi.CUmemAccess_flags,
    /// Of `cuMemAlloc`: the context it belongs to, which may use it whatever `access` says; else 0.
    linear_context: u64,
};
pub var mappings: List(Mapping, 4096) = .{};

pub const Pinned = struct { start: u64, size: usize, context: u64 };
pub var pinned: List(Pinned, 1024) = .{};

/// Address ranges that do not overlap.
fn List(comptime Range: type, comptime capacity: usize) type {
    return struct {
        buffer: [capacity]Range = undefined,
        len: usize = 0,

        const Self = @This();

        pub fn items(list: *Self) []Range {
            return list.buffer[0..list.len];
        }

        pub fn isFull(list: *const Self) bool {
            return list.len == capacity;
        }

        pub fn add(list: *Self, range: Range) void {
            assert(!list.isFull());
            list.buffer[list.len] = range;
            list.len += 1;
        }

        /// The range that holds all of [address, address + size).
        pub fn find(list: *Self, address: u64, size: usize) ?*Range {
            for (list.items()) |*range| if (contains(range.start, range.size, address, size)) return range;
            return null;
        }

        /// The range that starts there.
        pub fn at(list: *Self, address: u64) ?*Range {
            for (list.items()) |*range| if (range.start == address) return range;
            return null;
        }

        pub fn overlaps(list: *Self, address: u64, size: usize) bool {
            for (list.items()) |range| {
                if (address < range.start + range.size and range.start < address + size) return true;
            }
            return false;
        }

        pub fn remove(list: *Self, range: *Range) void {
            list.len -= 1;
            range.* = list.buffer[list.len];
        }
    };
}

fn contains(start: u64, size: usize, address: u64, length: usize) bool {
    return address >= start and address - start <= size and length <= size - (address - start);
}

fn failed(result: usize) ?CUresult {
    return switch (linux.errno(result)) {
        .SUCCESS => null,
        .NOMEM => .CUDA_ERROR_OUT_OF_MEMORY,
        else => .CUDA_ERROR_OPERATING_SYSTEM,
    };
}

// Allocations

pub fn create(device: u32, size: usize, exportable: bool, handle: *u64) CUresult {
    assert(size > 0 and size % machine.granularity == 0);
    if (size > machine.config.memory -| used(device)) return .CUDA_ERROR_OUT_OF_MEMORY;
    var buffer: [64]u8 = undefined;
    const hex = std.fmt.bytesToHex(machine.uuid(device), .lower);
    const name = std.fmt.bufPrintZ(&buffer, memfd_prefix ++ "{s}", .{hex}) catch unreachable;
    const opened = linux.memfd_create(name, linux.MFD.CLOEXEC | linux.MFD.ALLOW_SEALING);
    if (failed(opened)) |result| return result;
    const descriptor: c_int = @intCast(opened);
    const sealed = failed(linux.ftruncate(descriptor, @intCast(size))) orelse
        failed(linux.fcntl(descriptor, linux.F.ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
    if (sealed) |result| {
        _ = linux.close(descriptor);
        return result;
    }
    return adopt(descriptor, size, device, exportable, handle);
}

const F_SEAL_SHRINK = 2;
const F_SEAL_GROW = 4;

/// Takes the descriptor, on failure too.
fn adopt(descriptor: c_int, size: usize, device: u32, exportable: bool, handle: *u64) CUresult {
    const mapped = linux.mmap(null, size, .{ .READ = true, .WRITE = true }, .{ .TYPE = .SHARED }, descriptor, 0);
    if (failed(mapped)) |result| {
        _ = linux.close(descriptor);
        return result;
    }
    const alias: []align(page_size) u8 = @as([*]align(page_size) u8, @ptrFromInt(mapped))[0..size];
    handle.* = allocations.add(.{
        .descriptor = descriptor,
        .alias = alias,
        .device = device,
        .exportable = exportable,
        .handles = 1,
        .uses = 0,
    }) orelse {
        _ = linux.munmap(alias.ptr, alias.len);
        _ = linux.close(descriptor);
        return .CUDA_ERROR_OUT_OF_MEMORY;
    };
    return .CUDA_SUCCESS;
}

/// Somebody else's memory, by a descriptor that stays theirs, as a device's at an address of its own; goes with
/// `unmap`.
pub fn borrow(descriptor: c_int, size: usize, device: u32, context: u64, start: *u64) CUresult {
    if (mappings.isFull()) return .CUDA_ERROR_OUT_OF_MEMORY;
    const duplicated = linux.fcntl(descriptor, linux.F.DUPFD_CLOEXEC, 0);
    if (failed(duplicated)) |result| return result;
    var handle: u64 = undefined;
    const adopted = adopt(@intCast(duplicated), size, device, false, &handle);
    if (adopted != .CUDA_SUCCESS) return adopted;
    const reserved = reserve(std.mem.alignForward(usize, size, machine.granularity), machine.granularity, start);
    if (reserved == .CUDA_SUCCESS) map(start.*, size, handle, context);
    releaseHandle(handle);
    return reserved;
}

/// Leaves the caller's descriptor alone, as the driver does.
pub fn import(descriptor: c_int, handle: *u64) CUresult {
    const duplicated = linux.fcntl(descriptor, linux.F.DUPFD_CLOEXEC, 0);
    if (linux.errno(duplicated) == .BADF) return .CUDA_ERROR_UNKNOWN;
    if (failed(duplicated)) |result| return result;
    const own: c_int = @intCast(duplicated);
    var path_buffer: [32]u8 = undefined;
    const path = std.fmt.bufPrintZ(&path_buffer, "/proc/self/fd/{d}", .{own}) catch unreachable;
    const memory = describe(path) orelse {
        _ = linux.close(own);
        return .CUDA_ERROR_UNKNOWN;
    };
    const seals = linux.fcntl(own, linux.F.GET_SEALS, 0);
    const sealed = F_SEAL_SHRINK | F_SEAL_GROW;
    if (linux.errno(seals) != .SUCCESS or seals & sealed != sealed or memory.size % machine.granularity != 0) {
        _ = linux.close(own);
        return .CUDA_ERROR_UNKNOWN;
    }
    for (machine.visible) |device| {
        if (std.mem.eql(u8, &memory.uuid, &machine.uuid(device))) {
            return adopt(own, memory.size, device, true, handle);
        }
    }
    _ = linux.close(own);
    return .CUDA_ERROR_INVALID_DEVICE;
}

/// A new descriptor of the memory, which is the caller's. Not close-on-exec: no document promises that.
pub fn duplicate(allocation: *const Allocation, descriptor: *c_int) CUresult {
    const duplicated = linux.fcntl(allocation.descriptor, linux.F.DUPFD, 0);
    if (failed(duplicated)) |result| return result;
    descriptor.* = @intCast(duplicated);
    return .CUDA_SUCCESS;
}

/// The allocation of a handle that has not been released.
pub fn held(handle: u64) ?*Allocation {
    const allocation = allocations.get(handle) orelse return null;
    return if (allocation.handles > 0) allocation else null;
}

pub fn releaseHandle(handle: u64) void {
    allocations.get(handle).?.handles -= 1;
    freeIfUnused(handle);
}

fn freeIfUnused(handle: u64) void {
    const allocation = allocations.get(handle).?;
    if (allocation.handles > 0 or allocation.uses > 0) return;
    _ = linux.munmap(allocation.alias.ptr, allocation.alias.len);
    _ = linux.close(allocation.descriptor);
    allocations.remove(handle);
}

// Addresses

/// A range that no access of the CPU survives.
pub fn reserve(size: usize, alignment: usize, start: *u64) CUresult {
    assert(std.math.isPowerOfTwo(alignment));
    const flags: linux.MAP = .{ .TYPE = .PRIVATE, .ANONYMOUS = true, .NORESERVE = true };
    const wide = linux.mmap(null, size + alignment, .{}, flags, -1, 0);
    if (failed(wide)) |result| return result;
    start.* = std.mem.alignForward(u64, wide, alignment);
    unreserve(wide, start.* - wide);
    unreserve(start.* + size, wide + alignment - start.*);
    return .CUDA_SUCCESS;
}

pub fn unreserve(start: u64, size: usize) void {
    if (size > 0) assert(linux.errno(linux.munmap(@ptrFromInt(start), size)) == .SUCCESS);
}

pub fn map(start: u64, size: usize, handle: u64, linear_context: u64) void {
    allocations.get(handle).?.uses += 1;
    mappings.add(.{
        .start = start,
        .size = size,
        .allocation = handle,
        .access = @splat(.NONE),
        .linear_context = linear_context,
    });
}

pub fn unmap(mapping: *Mapping) void {
    unpin(mapping.allocation);
    mappings.remove(mapping);
}

/// Device memory that a device may use now, pinned until `unpin`.
pub const Span = struct { bytes: [*]u8, allocation: u64 };

/// The bytes behind a device address; null where any of them is not mapped for that use. A range that
/// spans two mappings counts as not mapped.
pub fn resolve(address: u64, size: usize, device: u32, write: bool) ?Span {
    const mapping = mappings.find(address, size) orelse return null;
    if (mapping.linear_context == 0) {
        switch (mapping.access[device]) {
            .READWRITE => {},
            .READ => if (write) return null,
            else => return null,
        }
    }
    const alias = allocations.get(mapping.allocation).?.alias;
    return .{ .bytes = alias.ptr + (address - mapping.start), .allocation = mapping.allocation };
}

pub fn pin(allocation: u64) void {
    allocations.get(allocation).?.uses += 1;
}

pub fn unpin(allocation: u64) void {
    allocations.get(allocation).?.uses -= 1;
    freeIfUnused(allocation);
}

/// Whether any of these addresses belongs to a device.
pub fn isDeviceRange(address: u64, size: usize) bool {
    return reservations.overlaps(address, size) or mappings.overlaps(address, size);
}

// Pinned host memory

pub fn allocatePinned(size: usize, context: u64, start: *u64) CUresult {
    if (pinned.isFull()) return .CUDA_ERROR_OUT_OF_MEMORY;
    const flags: linux.MAP = .{ .TYPE = .PRIVATE, .ANONYMOUS = true };
    const mapped = linux.mmap(null, size, .{ .READ = true, .WRITE = true }, flags, -1, 0);
    if (failed(mapped)) |result| return result;
    start.* = mapped;
    pinned.add(.{ .start = mapped, .size = size, .context = context });
    return .CUDA_SUCCESS;
}

pub fn freePinned(range: *Pinned) void {
    unreserve(range.start, range.size);
    pinned.remove(range);
}

// How much of a device is in use

const Memory = struct { uuid: abi.CUuuid, size: usize, inode: u64 };

/// Bytes of a device's memory that are alive anywhere: what this user's processes hold descriptors of
/// (the double keeps one for every allocation, mapped ones too). So memory comes back by itself when a
/// process is killed. Memory whose only descriptor is on its way through a socket is not seen.
pub fn used(device: u32) u64 {
    const uuid = machine.uuid(device);
    var inodes: [16384]u64 = undefined;
    var count: usize = 0;
    var total: u64 = 0;

    var processes = Directory.open("/proc") orelse machine.die("cannot read /proc");
    defer processes.close();
    while (processes.next()) |process| {
        _ = std.fmt.parseInt(u32, process, 10) catch continue;
        var path_buffer: [64]u8 = undefined;
        const path = std.fmt.bufPrintZ(&path_buffer, "/proc/{s}/fd", .{process}) catch unreachable;
        var descriptors = Directory.open(path) orelse continue;
        defer descriptors.close();
        while (descriptors.next()) |descriptor| {
            var link_buffer: [96]u8 = undefined;
            const link = std.fmt.bufPrintZ(&link_buffer, "{s}/{s}", .{ path, descriptor }) catch unreachable;
            const memory = describe(link) orelse continue;
            if (!std.mem.eql(u8, &memory.uuid, &uuid)) continue;
            if (std.mem.findScalar(u64, inodes[0..count], memory.inode) != null) continue;
            if (count == inodes.len) machine.die("more than 16384 allocations on one device");
            inodes[count] = memory.inode;
            count += 1;
            total += memory.size;
        }
    }
    return total;
}

/// What a /proc/…/fd/N link leads to, where it is device memory.
fn describe(link: [:0]const u8) ?Memory {
    const prefix = "/memfd:" ++ memfd_prefix;
    var buffer: [128]u8 = undefined;
    const length = linux.readlink(link, &buffer, buffer.len);
    if (linux.errno(length) != .SUCCESS) return null;
    const target = buffer[0..length];
    if (!std.mem.startsWith(u8, target, prefix) or target.len < prefix.len + 32) return null;
    var memory: Memory = undefined;
    _ = std.fmt.hexToBytes(&memory.uuid, target[prefix.len..][0..32]) catch return null;
    var status: linux.Statx = undefined;
    const wanted: linux.STATX = .{ .SIZE = true, .INO = true };
    if (linux.errno(linux.statx(linux.AT.FDCWD, link, 0, wanted, &status)) != .SUCCESS) return null;
    memory.size = status.size;
    memory.inode = status.ino;
    return memory;
}

const Directory = struct {
    descriptor: c_int,
    buffer: [4096]u8 align(8) = undefined,
    position: usize = 0,
    end: usize = 0,

    fn open(path: [:0]const u8) ?Directory {
        const opened = linux.open(path, .{ .DIRECTORY = true, .CLOEXEC = true }, 0);
        return if (linux.errno(opened) == .SUCCESS) .{ .descriptor = @intCast(opened) } else null;
    }

    fn close(directory: *Directory) void {
        _ = linux.close(directory.descriptor);
    }

    fn next(directory: *Directory) ?[]const u8 {
        if (directory.position == directory.end) {
            const read = linux.getdents64(directory.descriptor, &directory.buffer, directory.buffer.len);
            // A process that ends meanwhile has no more entries.
            if (linux.errno(read) != .SUCCESS or read == 0) return null;
            directory.position = 0;
            directory.end = read;
        }
        const entry: *align(1) linux.dirent64 = @ptrCast(&directory.buffer[directory.position]);
        directory.position += entry.reclen;
        return std.mem.sliceTo(@as([*:0]const u8, @ptrCast(&entry.name)), 0);
    }
};

//! This is a test double of libcuda.so.1: the driver functions that this library calls, without a GPU, across
//! real processes. Never shipped. Built as a file of that name in a directory of its own, which tests
//! put into LD_LIBRARY_PATH; in the root of the repository:
//!
//!     zig build-lib -dynamic -O ReleaseSafe -lc --dep cuda -Mroot=test/cuda_double/libcuda.zig \
//!         -Mcuda=zig/cuda.zig -fsoname=libcuda.so.1 -femit-bin=DIRECTORY/libcuda.so.1
//!
//! It exports exactly the table of zig/src/cuda/abi.zig (a function missing here, or of another type,
//! does not compile) and the controls of control.zig. Device memory is memfds at addresses that crash
//! the CPU; streams are threads; handles know when they are stale; work on memory that is gone poisons
//! the context (CUDA_ERROR_ILLEGAL_ADDRESS), as on a GPU.
//!
//! The environment, read when the library is loaded, describes the machine:
//!
//!     CUDA_DOUBLE_DEVICES=1            physical devices, 0 to 8
//!     CUDA_DOUBLE_MACHINE=0            a name: other machines have other UUIDs and their own memory
//!     CUDA_DOUBLE_MEMORY=8589934592    bytes on each device
//!     CUDA_DOUBLE_DRIVER_VERSION=13000 functions that came later are not exported
//!     CUDA_DOUBLE_MISSING=             functions not exported besides: "cuMemMap,cuMemUnmap"
//!     CUDA_DOUBLE_NO_VMM=              physical devices without it: "0,2" or "all"
//!     CUDA_DOUBLE_NO_POSIX_FD=         likewise
//!     CUDA_DOUBLE_NO_DMA_BUF=          likewise
//!     CUDA_DOUBLE_FAIL=                failures: "cuMemCreate:3=2,cuEventRecord:*=700", that is, the
//!                                      third cuMemCreate returns 2 and every cuEventRecord 700
//!     CUDA_DOUBLE_DELAY_US=0           how long each copy or fill takes at least
//!     CUDA_VISIBLE_DEVICES             as for the real driver
//!
//! What it does not have: arrays but those of registered images, unified copies, per-thread default streams, peer
//! access, contexts besides the primary ones, copies across two adjacent mappings, dma-bufs of a part of an allocation.
//! Where it is stricter than a GPU (seen on an H200, driver 580): a host address is not taken for a device one nor the
//! reverse, a pitch of 0 is refused, a released context does not come back to life. Each allocation holds one
//! descriptor of the process, which a real one does not.

const std = @import("std");
const assert = std.debug.assert;
const cuda = @import("cuda");
const abi = cuda.abi;
const CUresult = abi.CUresult;

const calls = @import("calls.zig");
const faults = @import("faults.zig").Faults(abi.functions, CUresult);
const handles = @import("handles.zig");
const lock = @import("lock.zig");
const machine = @import("machine.zig");
const memory = @import("memory.zig");
const streams = @import("streams.zig");
const control = @import("control.zig");

// Without it each thread of the process would carry 256 KiB for a signal stack.
pub const std_options: std.Options = .{ .signal_stack_size = null };

comptime {
    for (abi.functions, 0..) |declaration, index| {
        @export(&Export(index).function, .{ .name = declaration.name });
    }
    for (@typeInfo(control.Control).@"struct".fields) |field| {
        const implementation: field.type = &@field(controls, field.name);
        @export(implementation, .{ .name = field.name });
    }
}

/// One driver function as C calls it.
fn Export(comptime index: usize) type {
    const P = abi.functions[index].parameters;
    return switch (P.len) {
        1 => struct {
            fn function(a: P[0]) callconv(.c) CUresult {
                return enter(index, .{a});
            }
        },
        2 => struct {
            fn function(a: P[0], b: P[1]) callconv(.c) CUresult {
                return enter(index, .{ a, b });
            }
        },
        3 => struct {
            fn function(a: P[0], b: P[1], c: P[2]) callconv(.c) CUresult {
                return enter(index, .{ a, b, c });
            }
        },
        4 => struct {
            fn function(a: P[0], b: P[1], c: P[2], d: P[3]) callconv(.c) CUresult {
                return enter(index, .{ a, b, c, d });
            }
        },
        5 => struct {
            fn function(a: P[0], b: P[1], c: P[2], d: P[3], e: P[4]) callconv(.c) CUresult {
                return enter(index, .{ a, b, c, d, e });
            }
        },
        6 => struct {
            fn function(a: P[0], b: P[1], c: P[2], d: P[3], e: P[4], f: P[5]) callconv(.c) CUresult {
                return enter(index, .{ a, b, c, d, e, f });
            }
        },
        else => @compileError("one more case for " ++ abi.functions[index].name),
    };
}

fn enter(comptime index: usize, arguments: abi.Arguments(@enumFromInt(index))) CUresult {
    lock.acquire();
    defer lock.release();
    if (faults.before(index)) |injected| return injected;
    const result = checked(index, arguments);
    if (result != .CUDA_SUCCESS and result != .CUDA_ERROR_NOT_READY) faults.afterFailure();
    return result;
}

fn checked(comptime index: usize, arguments: abi.Arguments(@enumFromInt(index))) CUresult {
    const needs = comptime calls.needsOf(@enumFromInt(index));
    if (needs != .nothing and !calls.initialized) return .CUDA_ERROR_NOT_INITIALIZED;
    if (needs == .context) {
        if (streams.current() == 0) return .CUDA_ERROR_INVALID_CONTEXT;
        const state = streams.stateOf(streams.current());
        if (state != .CUDA_SUCCESS) return state;
    }
    return @call(.auto, @field(calls, abi.functions[index].name), arguments);
}

const controls = struct {
    fn cudoubleLive(live: *control.Live) callconv(.c) void {
        lock.acquire();
        defer lock.release();
        live.* = std.mem.zeroes(control.Live);
        for (&memory.allocations.slots) |*slot| {
            if (slot.value) |allocation| live.allocations += allocation.handles;
        }
        for (memory.mappings.items()) |mapping| {
            if (mapping.linear_context != 0) live.linear += 1 else live.mappings += 1;
        }
        for (&streams.events.slots) |*slot| live.events += @intFromBool(slot.value != null);
        for (&streams.contexts.slots) |*slot| {
            if (slot.value) |context| live.contexts += context.retained;
        }
        live.reservations = memory.reservations.len;
        live.pinned = memory.pinned.len;
        live.streams = streams.liveStreams();
        live.context_depth = streams.stack_len;
        live.failed_calls = faults.failed;
    }

    fn cudoubleFail(rules: [*:0]const u8) callconv(.c) CUresult {
        lock.acquire();
        defer lock.release();
        return if (faults.set(std.mem.span(rules))) .CUDA_SUCCESS else .CUDA_ERROR_INVALID_VALUE;
    }

    fn cudoubleCalls(name: [*:0]const u8) callconv(.c) u64 {
        lock.acquire();
        defer lock.release();
        return faults.count(std.mem.span(name)) orelse std.math.maxInt(u64);
    }

    fn cudoubleSetDelay(microseconds: u32) callconv(.c) void {
        lock.acquire();
        defer lock.release();
        machine.config.delay_us = microseconds;
    }

    fn cudoubleHold(on: u32) callconv(.c) void {
        lock.acquire();
        defer lock.release();
        streams.setHold(on != 0);
    }

    fn cudoubleWaitHeld(count: u32, milliseconds: u32) callconv(.c) u32 {
        lock.acquire();
        defer lock.release();
        return @intFromBool(streams.waitStopped(count, milliseconds));
    }

    fn cudoubleSlowFill(
        to: abi.CUdeviceptr,
        value: u8,
        bytes: u64,
        milliseconds: u32,
        stream: abi.CUstream,
    ) callconv(.c) CUresult {
        return slow(to, .{ .value = value }, bytes, milliseconds, stream);
    }

    fn cudoubleSlowCopy(
        to: abi.CUdeviceptr,
        from: abi.CUdeviceptr,
        bytes: u64,
        milliseconds: u32,
        stream: abi.CUstream,
    ) callconv(.c) CUresult {
        return slow(to, .{ .memory = .{ .address = from, .pitch = bytes } }, bytes, milliseconds, stream);
    }

    const From = @FieldType(streams.Transfer, "from");

    fn slow(to: abi.CUdeviceptr, from: From, bytes: u64, milliseconds: u32, stream: abi.CUstream) CUresult {
        lock.acquire();
        defer lock.release();
        if (bytes == 0 or milliseconds > 60_000) return .CUDA_ERROR_INVALID_VALUE;
        return calls.submit(.{
            .width = bytes,
            .height = 1,
            .to = .{ .address = to, .pitch = bytes },
            .from = from,
            .delay_us = milliseconds * std.time.us_per_ms,
        }, stream);
    }

    fn cudoublePeek(to: [*]u8, address: abi.CUdeviceptr, bytes: u64) callconv(.c) CUresult {
        lock.acquire();
        defer lock.release();
        const mapping = memory.mappings.find(address, bytes) orelse return .CUDA_ERROR_INVALID_VALUE;
        const alias = memory.allocations.get(mapping.allocation).?.alias;
        @memcpy(to[0..bytes], alias[address - mapping.start ..][0..bytes]);
        return .CUDA_SUCCESS;
    }
};

// Before `dlopen` returns: the environment decides which functions are there to be found.
export const cudouble_on_load: *const fn () callconv(.c) void linksection(".init_array") = &onLoad;

fn onLoad() callconv(.c) void {
    machine.readEnvironment();
    if (!faults.set(machine.config.fail)) machine.die("CUDA_DOUBLE_FAIL cannot be read");
    handles.reserve();
    assert(std.c.pthread_atfork(null, null, &onFork) == 0);
    hideMissing();
}

fn onFork() callconv(.c) void {
    calls.forked = true;
    calls.initialized = false;
}

fn hideMissing() void {
    var left = std.mem.splitScalar(u8, machine.config.missing, ',');
    while (left.next()) |name| {
        if (name.len > 0 and faults.count(name) == null) machine.die("CUDA_DOUBLE_MISSING names no function");
    }
    inline for (abi.functions, 0..) |declaration, index| {
        var listed = declaration.since > machine.config.driver_version;
        var names = std.mem.splitScalar(u8, machine.config.missing, ',');
        while (names.next()) |name| listed = listed or std.mem.eql(u8, name, declaration.name);
        if (listed) hide(&Export(index).function);
    }
}

/// Makes `dlsym` pass over a function of this library, by taking the value from its dynamic symbol.
fn hide(function: *const anyopaque) void {
    var info: DlInfo = undefined;
    var symbol: ?*std.elf.Elf64_Sym = null;
    const RTLD_DL_SYMENT = 1;
    if (dladdr1(function, &info, &symbol, RTLD_DL_SYMENT) == 0) machine.die("dladdr1 failed");
    const entry = symbol orelse machine.die("a function without a dynamic symbol");
    const page_size = std.heap.pageSize();
    const first = std.mem.alignBackward(usize, @intFromPtr(entry), page_size);
    const size = std.mem.alignForward(usize, @intFromPtr(entry) + @sizeOf(std.elf.Elf64_Sym), page_size) - first;
    const linux = std.os.linux;
    if (linux.errno(linux.mprotect(@ptrFromInt(first), size, .{ .READ = true, .WRITE = true })) != .SUCCESS) {
        machine.die("the symbol table stays read-only");
    }
    entry.st_value = 0;
}

const DlInfo = extern struct { file: ?[*:0]const u8, base: ?*anyopaque, name: ?[*:0]const u8, address: ?*anyopaque };
extern "c" fn dladdr1(address: *const anyopaque, info: *DlInfo, extra: *?*std.elf.Elf64_Sym, flags: c_int) c_int;

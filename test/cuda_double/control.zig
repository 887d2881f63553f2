//! This file is what the double exports besides CUDA, for tests: the functions of `Control` by their names.

const std = @import("std");
const cuda = @import("cuda");
const abi = cuda.abi;

/// Objects of this process that are alive; all 0 when everything was cleaned up, but for the last two.
pub const Live = extern struct {
    /// Handles of `cuMemCreate` and imports that have not been released.
    allocations: u64,
    reservations: u64,
    mappings: u64,
    /// Of `cuMemAlloc`, and planes of registered images.
    linear: u64,
    /// Of `cuMemHostAlloc`.
    pinned: u64,
    streams: u64,
    events: u64,
    /// Retained primary contexts, each as often as it is retained.
    contexts: u64,
    /// Contexts on the calling thread's stack.
    context_depth: u64,
    /// Calls so far that failed without injection, such as one with a stale handle.
    failed_calls: u64,
};

pub const Control = struct {
    /// Fills in what is alive.
    cudoubleLive: *const fn (*Live) callconv(.c) void,
    /// Replaces the failures to inject, as CUDA_DOUBLE_FAIL states them ("" for none), and counts calls
    /// from 0 again. CUDA_ERROR_INVALID_VALUE for rules that cannot be read or name no function.
    cudoubleFail: *const fn ([*:0]const u8) callconv(.c) abi.CUresult,
    /// How often a function was called since then; maxInt(u64) for a name that is none.
    cudoubleCalls: *const fn ([*:0]const u8) callconv(.c) u64,
    /// How many µs each copy or fill queued from now on takes at least.
    cudoubleSetDelay: *const fn (u32) callconv(.c) void,
    /// 1: each copy or fill stops half-way, until 0 lets all go on.
    cudoubleHold: *const fn (u32) callconv(.c) void,
    /// Waits until so many are stopped half-way, at most so many ms: 1, or 0 when that was too long.
    cudoubleWaitHeld: *const fn (u32, u32) callconv(.c) u32,
    /// A kernel that fills `bytes` at a device address bit by bit over so many ms.
    cudoubleSlowFill: *const fn (abi.CUdeviceptr, u8, u64, u32, abi.CUstream) callconv(.c) abi.CUresult,
    /// A kernel that copies from one device address (second) to another (first) in the same manner.
    cudoubleSlowCopy: *const fn (abi.CUdeviceptr, abi.CUdeviceptr, u64, u32, abi.CUstream) callconv(.c) abi.CUresult,
    /// Copies what is in device memory at this moment to the host, past all streams and access rights.
    cudoublePeek: *const fn ([*]u8, abi.CUdeviceptr, u64) callconv(.c) abi.CUresult,

    /// The controls of the double that this process has loaded; null when it has none.
    pub fn open() ?Control {
        const library = std.c.dlopen("libcuda.so.1", .{ .NOW = true, .NOLOAD = true }) orelse return null;
        var control: Control = undefined;
        inline for (@typeInfo(Control).@"struct".fields) |field| {
            @field(control, field.name) = @ptrCast(std.c.dlsym(library, field.name) orelse return null);
        }
        return control;
    }
};

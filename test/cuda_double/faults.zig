//! Counts every driver call and makes chosen ones fail.

const std = @import("std");
const cuda = @import("cuda");
const abi = cuda.abi;

const Rule = struct {
    /// Which call fails, counted from 1 since the rule was made; 0 is every one.
    nth: u64,
    result: abi.CUresult,
};

var calls: [abi.functions.len]u64 = @splat(0);
var rules: [abi.functions.len]?Rule = @splat(null);

/// Calls that failed by themselves: neither injected nor CUDA_ERROR_NOT_READY.
pub var failed: u64 = 0;

/// Counts a call; the result that it must return instead of doing anything.
pub fn before(function: usize) ?abi.CUresult {
    calls[function] += 1;
    const rule = rules[function] orelse return null;
    return if (rule.nth == 0 or rule.nth == calls[function]) rule.result else null;
}

pub fn after(result: abi.CUresult) void {
    if (result != .CUDA_SUCCESS and result != .CUDA_ERROR_NOT_READY) failed += 1;
}

/// Replaces all rules and starts counting anew. `text` is "" or rules separated by commas:
/// "cuMemCreate:3=2" (the third call returns CUresult 2) or "cuEventRecord:*=700" (every call).
/// False, and nothing changes, where it is neither.
pub fn set(text: []const u8) bool {
    var parsed: [abi.functions.len]?Rule = @splat(null);
    if (text.len > 0) {
        var parts = std.mem.splitScalar(u8, text, ',');
        while (parts.next()) |part| {
            const colon = std.mem.findScalar(u8, part, ':') orelse return false;
            const equals = std.mem.findScalar(u8, part, '=') orelse return false;
            if (equals < colon) return false;
            const function = indexOf(part[0..colon]) orelse return false;
            const number = part[colon + 1 .. equals];
            const nth = if (std.mem.eql(u8, number, "*")) 0 else std.fmt.parseInt(u64, number, 10) catch return false;
            const code = std.fmt.parseInt(c_int, part[equals + 1 ..], 10) catch return false;
            parsed[function] = .{ .nth = nth, .result = @enumFromInt(code) };
        }
    }
    rules = parsed;
    calls = @splat(0);
    return true;
}

/// How often a function was called since the rules were set. null: there is no such function.
pub fn count(name: []const u8) ?u64 {
    return calls[indexOf(name) orelse return null];
}

fn indexOf(name: []const u8) ?usize {
    for (abi.functions, 0..) |declaration, index| {
        if (std.mem.eql(u8, declaration.name, name)) return index;
    }
    return null;
}

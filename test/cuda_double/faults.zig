//! This file counts every call of a table of functions and makes chosen ones fail. `Result` is an enum of numbers.

const std = @import("std");

pub fn Faults(comptime functions: anytype, comptime Result: type) type {
    return struct {
        const Rule = struct {
            /// Which call fails, counted from 1 since the rule was made; 0 is every one.
            nth: u64,
            result: Result,
        };

        var calls: [functions.len]u64 = @splat(0);
        var rules: [functions.len]?Rule = @splat(null);

        /// Calls that failed by themselves: neither injected nor for work that is not ready.
        pub var failed: u64 = 0;

        /// Counts a call; the result that it must return instead of doing anything.
        pub fn before(function: usize) ?Result {
            calls[function] += 1;
            const rule = rules[function] orelse return null;
            return if (rule.nth == 0 or rule.nth == calls[function]) rule.result else null;
        }

        pub fn afterFailure() void {
            failed += 1;
        }

        /// Replaces all rules and starts counting anew. `text` is "" or rules separated by commas:
        /// "cuMemCreate:3=2" (the third call returns CUresult 2) or "cuEventRecord:*=700" (every call).
        /// False, and nothing changes, where it is neither.
        pub fn set(text: []const u8) bool {
            var parsed: [functions.len]?Rule = @splat(null);
            if (text.len > 0) {
                var parts = std.mem.splitScalar(u8, text, ',');
                while (parts.next()) |part| {
                    const colon = std.mem.findScalar(u8, part, ':') orelse return false;
                    const equals = std.mem.findScalar(u8, part, '=') orelse return false;
                    if (equals < colon) return false;
                    const function = indexOf(part[0..colon]) orelse return false;
                    const number = part[colon + 1 .. equals];
                    const nth = if (std.mem.eql(u8, number, "*")) 0 else std.fmt.parseInt(
                        u64,
                        number,
                        10,
                    ) catch return false;
                    const code = std.fmt.parseInt(
                        @typeInfo(Result).@"enum".tag_type,
                        part[equals + 1 ..],
                        10,
                    ) catch return false;
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
            inline for (functions, 0..) |declaration, index| {
                if (std.mem.eql(u8, declaration.name, name)) return index;
            }
            return null;
        }
    };
}

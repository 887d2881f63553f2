//! This file puts text into fixed fields of bytes, NUL-padded, and takes it out again.

const std = @import("std");

/// Copies text into a NUL-padded field, cut to fit.
pub fn set(field: []u8, value: []const u8) void {
    const size = @min(value.len, field.len - 1);
    @memcpy(field[0..size], value[0..size]);
    @memset(field[size..], 0);
}

/// The text of a NUL-padded field that another process wrote: up to the first NUL, control characters masked.
pub fn sanitize(field: []u8) void {
    const size = std.mem.indexOfScalar(u8, field, 0) orelse field.len - 1;
    for (field[0..size]) |*byte| {
        if (byte.* < 0x20 or byte.* == 0x7f) byte.* = '?';
    }
    @memset(field[size..], 0);
    if (!std.unicode.utf8ValidateSlice(field[0..size])) {
        for (field[0..size]) |*byte| if (byte.* >= 0x80) {
            byte.* = '?';
        };
    }
}

pub fn of(field: []const u8) []const u8 {
    return field[0 .. std.mem.indexOfScalar(u8, field, 0) orelse field.len];
}

const testing = std.testing;

test "text from a peer is cut at its NUL and made printable" {
    var field = "cam\x1b[31m\xff\x00tail".*;
    sanitize(&field);
    try testing.expectEqualStrings("cam?[31m?", of(&field));
    var unterminated: [8]u8 = @splat('x');
    sanitize(&unterminated);
    try testing.expectEqual(@as(usize, 7), of(&unterminated).len);
}

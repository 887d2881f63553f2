//! This program writes what other languages see of the C ABI to standard output: `bindings constants`, `layout` and
//! `symbols` for TypeScript, `bindings header` for C and C++, `bindings python`.

const std = @import("std");
const typescript = @import("typescript.zig");
const c_header = @import("c_header.zig");
const python = @import("python.zig");
const Sources = @import("source.zig").Sources;

const What = enum { constants, layout, symbols, header, python };

pub fn main(init: std.process.Init.Minimal) !void {
    var arena: std.heap.ArenaAllocator = .init(std.heap.c_allocator);
    defer arena.deinit();
    var sources: Sources = .{ .allocator = arena.allocator() };
    var output: std.Io.Writer.Allocating = .init(arena.allocator());
    var arguments = init.args.iterate();
    _ = arguments.skip();
    switch (std.meta.stringToEnum(What, arguments.next() orelse "") orelse return error.Usage) {
        .constants => try typescript.writeConstants(&output.writer),
        .layout => try typescript.writeLayout(&output.writer),
        .symbols => try typescript.writeSymbols(&output.writer),
        .header => try c_header.write(&sources, &output.writer),
        .python => try python.write(&sources, &output.writer),
    }
    if (sources.undocumented > 0) std.process.exit(1);
    var rest = output.written();
    while (rest.len > 0) {
        const result = std.os.linux.write(1, rest.ptr, rest.len);
        if (std.os.linux.errno(result) != .SUCCESS) return error.WriteFailed;
        rest = rest[result..];
    }
}

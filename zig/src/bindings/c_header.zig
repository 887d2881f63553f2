//! This file writes cuframes.h, for C99 and later and for C++.

const std = @import("std");
const Allocator = std.mem.Allocator;
const Writer = std.Io.Writer;
const table = @import("table.zig");
const source = @import("source.zig");
const Sources = source.Sources;

const columns_max = 120;

const head =
    \\/*
    \\ * The C ABI of libcuframes.so. Generated from the Zig sources by `npm run build`: do not edit.
    \\ *
    \\ * A function that returns int32_t returns 0 or a positive value, or a negative enum cuframes_error;
    \\ * cuframes_error_message then has a sentence for it, on the same thread. A function that returns an address
    \\ * returns 0 when it fails. Publishers, subscribers and all other objects are handles: numbers, each used by one
    \\ * thread at a time. Call cuframes_abi_version first and compare it with CUFRAMES_ABI_VERSION.
    \\ *
    \\ * docs/abi.md of the repository has these rules in full, and what every function does.
    \\ */
    \\
    \\#ifndef CUFRAMES_H
    \\#define CUFRAMES_H
    \\
    \\#include <stddef.h>
    \\#include <stdint.h>
    \\
    \\
;

/// C99 has no assertion of its own: an array of negative size is refused by every compiler.
const assertion =
    \\
    \\/* The layout that the library was compiled with. */
    \\#if defined(__cplusplus) && __cplusplus >= 201103L
    \\#define CUFRAMES_ASSERT(condition) static_assert(condition, #condition)
    \\#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
    \\#define CUFRAMES_ASSERT(condition) _Static_assert(condition, #condition)
    \\#else
    \\#define CUFRAMES_ASSERT(condition) extern char cuframes_assertion[(condition) ? 1 : -1]
    \\#endif
    \\
    \\
;

pub fn write(sources: *Sources, writer: *Writer) !void {
    try writer.writeAll(head);
    try writeConstants(sources, writer);
    try writeEnumerations(sources, writer);
    try writeBits(sources, writer);
    inline for (table.structs) |entry| try writeStruct(sources, writer, entry);
    try writer.writeAll(assertion);
    inline for (table.structs) |entry| try writeAssertions(writer, entry);
    try writer.writeAll("\n#undef CUFRAMES_ASSERT\n\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n");
    try writeFunctions(sources, writer);
    try writer.writeAll("\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
}

fn writeConstants(sources: *Sources, writer: *Writer) !void {
    inline for (table.constants) |constant| {
        const declaration = try sources.in(constant.file, constant.declaration);
        try writeComment(writer, "", try declaration.comment());
        try writer.print("#define CUFRAMES_{s} {d}\n", .{ constant.name, constant.value() });
    }
}

fn writeEnumerations(sources: *Sources, writer: *Writer) !void {
    inline for (table.enumerations) |enumeration| {
        const declaration = try sources.of(enumeration.type);
        try writer.writeByte('\n');
        try writeComment(writer, "", try declaration.requiredComment());
        try writer.print("enum cuframes_{s} {{\n", .{enumeration.c});
        inline for (@typeInfo(enumeration.type).@"enum".fields, 0..) |field, index| {
            if (index > 0) try writer.writeAll(",\n");
            try writeComment(writer, "  ", try (try declaration.member(field.name)).comment());
            const name = "CUFRAMES_" ++ enumeration.prefix ++ comptime table.raised(field.name);
            try writer.print("  {s} = {d}", .{ name, field.value });
        }
        try writer.writeAll("\n};\n");
    }
}

fn writeBits(sources: *Sources, writer: *Writer) !void {
    inline for (table.bit_sets) |bits| {
        try writer.print("\n/** {s} */\nenum cuframes_{s} {{\n", .{ bits.comment, bits.c });
        inline for (comptime bits.values(), 0..) |bit, index| {
            if (index > 0) try writer.writeAll(",\n");
            try writeComment(writer, "  ", try (try bits.declarationOf(sources, bit)).comment());
            try writer.print("  CUFRAMES_{s}{s} = {d}", .{ bits.prefix, bit.name, bit.value });
        }
        try writer.writeAll("\n};\n");
    }
}

fn writeStruct(sources: *Sources, writer: *Writer, comptime entry: table.Struct) !void {
    try writer.writeByte('\n');
    try writeComment(writer, "", try (try sources.of(entry.type)).requiredComment());
    try writer.print("struct cuframes_{s} {{\n", .{entry.cName()});
    inline for (comptime table.membersOf(entry)) |member| {
        const field = try (try sources.of(member.container)).member(member.name);
        try writeComment(writer, "  ", try field.comment());
        if (member.is_text) {
            try writer.print("  char {s}[{d}];\n", .{ member.name, @typeInfo(member.type).array.len });
        } else {
            try writer.print("  {s};\n", .{try declarationText(sources.allocator, member.type, member.name)});
        }
    }
    try writer.writeAll("};\n");
}

fn writeAssertions(writer: *Writer, comptime entry: table.Struct) !void {
    const name = "struct cuframes_" ++ comptime entry.cName();
    try writer.print("CUFRAMES_ASSERT(sizeof({s}) == {d});\n", .{ name, @sizeOf(entry.type) });
    inline for (comptime table.membersOf(entry)) |member| {
        try writer.print("CUFRAMES_ASSERT(offsetof({s}, {s}) == {d});\n", .{ name, member.name, member.offset });
    }
}

fn writeFunctions(sources: *Sources, writer: *Writer) !void {
    const callback = @typeInfo(@typeInfo(table.Callback).pointer.child).@"fn";
    try writer.writeByte('\n');
    const declared = try sources.in(table.callback.file, table.callback.declaration);
    try writeComment(writer, "", try declared.requiredComment());
    try writer.print("typedef {s} (*cuframes_callback)(", .{try typeName(sources.allocator, callback.return_type.?)});
    const names = try declared.parameters();
    inline for (callback.params, 0..) |parameter, index| {
        if (index > 0) try writer.writeAll(", ");
        try writer.writeAll(try parameterText(sources.allocator, parameter.type.?, names[index]));
    }
    try writer.writeAll(");\n");

    inline for (table.functions) |function| {
        const declaration = try sources.in(function.file, function.name);
        try writer.writeByte('\n');
        try writeComment(writer, "", try declaration.requiredComment());
        try writePrototype(sources, writer, function, try declaration.parameters());
    }
}

/// On as many lines as it takes, the parameters below each other.
fn writePrototype(
    sources: *Sources,
    writer: *Writer,
    comptime function: table.Function,
    names: []const []const u8,
) !void {
    const allocator = sources.allocator;
    const result = try typeName(allocator, function.signature.return_type.?);
    const begin = try std.fmt.allocPrint(allocator, "{s} {s}(", .{ result, function.name });
    try writer.writeAll(begin);
    if (function.signature.params.len == 0) try writer.writeAll("void");
    var column = begin.len;
    inline for (function.signature.params, 0..) |parameter, index| {
        const name = table.parameterName(function.name, names[index]);
        const text = try parameterText(allocator, parameter.type.?, name);
        const last = index + 1 == function.signature.params.len;
        if (index > 0 and column + " ".len + text.len + ");".len > columns_max) {
            try writer.writeByte('\n');
            try writer.splatByteAll(' ', begin.len);
            column = begin.len;
        } else if (index > 0) {
            try writer.writeByte(' ');
            column += 1;
        }
        try writer.print("{s}{s}", .{ text, if (last) "" else "," });
        column += text.len + 1;
    }
    try writer.writeAll(");\n");
}

fn parameterText(allocator: Allocator, comptime T: type, name: []const u8) ![]const u8 {
    if (@typeInfo(T) != .optional) return declarationText(allocator, T, name);
    const pointer = @typeInfo(@typeInfo(T).optional.child).pointer;
    if (@typeInfo(pointer.child) == .@"fn") return std.fmt.allocPrint(allocator, "cuframes_callback {s}", .{name});
    if (@typeInfo(pointer.child) == .array) return declarationText(allocator, pointer.child, name);
    // Text, too, is bytes: whoever has char needs no cast.
    const target = if (pointer.child == u8) "void" else try typeName(allocator, pointer.child);
    return std.fmt.allocPrint(allocator, "{s}{s} *{s}", .{ if (pointer.is_const) "const " else "", target, name });
}

/// Arrays have their sizes behind the name.
fn declarationText(allocator: Allocator, comptime T: type, name: []const u8) Allocator.Error![]const u8 {
    return switch (@typeInfo(T)) {
        .array => |array| declarationText(allocator, array.child, try std.fmt.allocPrint(allocator, "{s}[{d}]", .{
            name,
            array.len,
        })),
        else => std.fmt.allocPrint(allocator, "{s} {s}", .{ try typeName(allocator, T), name }),
    };
}

fn typeName(allocator: Allocator, comptime T: type) Allocator.Error![]const u8 {
    return switch (@typeInfo(T)) {
        .void => "void",
        .int => |int| std.fmt.allocPrint(allocator, "{s}int{d}_t", .{
            if (int.signedness == .signed) "" else "u",
            int.bits,
        }),
        .@"struct" => "struct cuframes_" ++ comptime (table.structOf(T) orelse
            @compileError("bindings/table.zig has no " ++ @typeName(T))).cName(),
        else => @compileError("no name in C for " ++ @typeName(T)),
    };
}

fn writeComment(writer: *Writer, indent: []const u8, lines: source.Comment) !void {
    for (lines) |line| if (std.mem.find(u8, line, "*/") != null) return error.CommentEndsItself;
    if (lines.len == 0) return;
    if (lines.len == 1 and indent.len + "/**  */".len + lines[0].len <= columns_max) {
        return writer.print("{s}/** {s} */\n", .{ indent, lines[0] });
    }
    try writer.print("{s}/**\n", .{indent});
    for (lines) |line| try writer.print("{s} * {s}\n", .{ indent, line });
    try writer.print("{s} */\n", .{indent});
}

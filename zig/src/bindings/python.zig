//! This file writes _abi.py, which needs Python 3.9 or later and nothing but its standard library.

const std = @import("std");
const Allocator = std.mem.Allocator;
const Writer = std.Io.Writer;
const table = @import("table.zig");
const source = @import("source.zig");
const Sources = source.Sources;

const head =
    \\"""The C ABI of libcuframes.so for ctypes: structures, codes, constants and functions.
    \\
    \\Generated from the Zig sources by `npm run build`: do not edit. docs/abi.md of the repository has the rules, and
    \\what every function does.
    \\"""
    \\
    \\from ctypes import CDLL, CFUNCTYPE, POINTER, Structure, sizeof
    \\from ctypes import c_char, c_int32, c_int64, c_uint8, c_uint32, c_uint64, c_void_p
    \\from enum import IntEnum, IntFlag
    \\
    \\
;

const check =
    \\
    \\
    \\for _structure, _size, _offsets in _LAYOUT:
    \\    if sizeof(_structure) != _size:
    \\        raise ImportError(f"{_structure.__name__} has {sizeof(_structure)} bytes here, {_size} in the library")
    \\    for (_name, *_), _offset in zip(_structure._fields_, _offsets):
    \\        if getattr(_structure, _name).offset != _offset:
    \\            raise ImportError(f"{_structure.__name__}.{_name} is not at {_offset}, where the library has it")
    \\
;

const declare =
    \\
    \\
    \\def declare(library: CDLL) -> CDLL:
    \\    """Sets the types of every function of the library; ImportError where it is of another ABI version."""
    \\    library.cuframes_abi_version.restype = c_uint32
    \\    version = library.cuframes_abi_version()
    \\    if version != ABI_VERSION:
    \\        raise ImportError(f"the library has version {version} of the C ABI, and this module is for {ABI_VERSION}")
    \\    for name, (result, parameters) in FUNCTIONS.items():
    \\        function = getattr(library, name)
    \\        function.restype = result
    \\        function.argtypes = parameters
    \\    return library
    \\
;

pub fn write(sources: *Sources, writer: *Writer) !void {
    try writer.writeAll(head);
    try writeConstants(sources, writer);
    try writeEnumerations(sources, writer);
    try writeBits(sources, writer);
    inline for (table.structs) |entry| try writeStruct(sources, writer, entry);
    try writer.writeAll("\n\n# Of each structure the size, and the offsets of its fields.\n_LAYOUT = (\n");
    inline for (table.structs) |entry| try writeLayout(writer, entry);
    try writer.writeAll(")" ++ check);
    try writeFunctions(sources, writer);
    try writer.writeAll(declare);
}

fn writeConstants(sources: *Sources, writer: *Writer) !void {
    inline for (table.constants) |constant| {
        const declaration = try sources.in(constant.file, constant.declaration);
        try writeComment(writer, "", try declaration.comment());
        try writer.print("{s} = {d}\n", .{ constant.name, constant.value() });
    }
}

fn writeEnumerations(sources: *Sources, writer: *Writer) !void {
    inline for (table.enumerations) |enumeration| {
        const declaration = try sources.of(enumeration.type);
        try writer.print("\n\nclass {s}(IntEnum):\n", .{enumeration.name});
        try writeDocumentation(writer, try declaration.requiredComment());
        inline for (@typeInfo(enumeration.type).@"enum".fields) |field| {
            try writeComment(writer, "    ", try (try declaration.member(field.name)).comment());
            try writer.print("    {s} = {d}\n", .{ comptime table.raised(field.name), field.value });
        }
    }
}

fn writeBits(sources: *Sources, writer: *Writer) !void {
    inline for (table.bit_sets) |bits| {
        try writer.print("\n\nclass {s}(IntFlag):\n", .{bits.name});
        try writeDocumentation(writer, &.{bits.comment});
        inline for (comptime bits.values()) |bit| {
            try writeComment(writer, "    ", try (try bits.declarationOf(sources, bit)).comment());
            try writer.print("    {s} = {d}\n", .{ bit.name, bit.value });
        }
    }
}

fn writeStruct(sources: *Sources, writer: *Writer, comptime entry: table.Struct) !void {
    try writer.print("\n\nclass {s}(Structure):\n", .{entry.name});
    try writeDocumentation(writer, try (try sources.of(entry.type)).requiredComment());
    try writer.writeAll("\n    _fields_ = (\n");
    inline for (comptime table.membersOf(entry)) |member| {
        const field = try (try sources.of(member.container)).member(member.name);
        try writeComment(writer, "        ", try field.comment());
        const name = try typeName(sources.allocator, member.type, member.is_text);
        try writer.print("        (\"{s}\", {s}),\n", .{ member.name, name });
    }
    try writer.writeAll("    )\n");
}

fn writeLayout(writer: *Writer, comptime entry: table.Struct) !void {
    try writer.print("    ({s}, {d}, (", .{ entry.name, @sizeOf(entry.type) });
    inline for (comptime table.membersOf(entry), 0..) |member, index| {
        try writer.print("{s}{d}", .{ if (index > 0) ", " else "", member.offset });
    }
    try writer.writeAll(if (comptime table.membersOf(entry).len == 1) ",)),\n" else ")),\n");
}

fn writeFunctions(sources: *Sources, writer: *Writer) !void {
    const callback = @typeInfo(@typeInfo(table.Callback).pointer.child).@"fn";
    try writer.writeByte('\n');
    const declared = try sources.in(table.callback.file, table.callback.declaration);
    try writeComment(writer, "", try declared.requiredComment());
    try writer.print("Callback = CFUNCTYPE({s}", .{try typeName(sources.allocator, callback.return_type.?, false)});
    inline for (callback.params) |parameter| {
        try writer.print(", {s}", .{try typeName(sources.allocator, parameter.type.?, false)});
    }
    try writer.writeAll(")\n\n# Of each function what it returns and what it takes.\nFUNCTIONS = {\n");

    inline for (table.functions) |function| {
        const declaration = try sources.in(function.file, function.name);
        const parameters = try declaration.parameters();
        try writer.print("    # {s}(", .{function.name});
        for (parameters, 0..) |name, index| {
            try writer.print("{s}{s}", .{ if (index > 0) ", " else "", table.parameterName(function.name, name) });
        }
        try writer.writeAll(")\n");
        try writeComment(writer, "    ", try declaration.requiredComment());
        const result = try typeName(sources.allocator, function.signature.return_type.?, false);
        try writer.print("    \"{s}\": ({s}, (", .{ function.name, result });
        inline for (function.signature.params, 0..) |parameter, index| {
            try writer.print("{s}{s}", .{
                if (index > 0) ", " else "",
                try parameterType(sources.allocator, parameter.type.?),
            });
        }
        try writer.writeAll(if (parameters.len == 1) ",)),\n" else ")),\n");
    }
    try writer.writeAll("}\n");
}

fn parameterType(allocator: Allocator, comptime T: type) ![]const u8 {
    if (@typeInfo(T) != .optional) return typeName(allocator, T, false);
    const pointer = @typeInfo(@typeInfo(T).optional.child).pointer;
    if (@typeInfo(pointer.child) == .@"fn") return "Callback";
    // ctypes then takes bytes, buffers and arrays alike.
    if (pointer.child == u8 or @typeInfo(pointer.child) == .array) return "c_void_p";
    return std.fmt.allocPrint(allocator, "POINTER({s})", .{try typeName(allocator, pointer.child, false)});
}

fn typeName(allocator: Allocator, comptime T: type, comptime is_text: bool) Allocator.Error![]const u8 {
    return switch (@typeInfo(T)) {
        .void => "None",
        .int => |int| if (is_text)
            "c_char"
        else
            std.fmt.allocPrint(allocator, "c_{s}int{d}", .{ if (int.signedness == .signed) "" else "u", int.bits }),
        .array => |array| std.fmt.allocPrint(allocator, "{s} * {d}", .{
            try typeName(allocator, array.child, is_text),
            array.len,
        }),
        .@"struct" => (comptime table.structOf(T) orelse
            @compileError("bindings/table.zig has no " ++ @typeName(T))).name,
        else => @compileError("no name in Python for " ++ @typeName(T)),
    };
}

fn writeComment(writer: *Writer, indent: []const u8, lines: source.Comment) !void {
    for (lines) |line| try writer.print("{s}# {s}\n", .{ indent, line });
}

fn writeDocumentation(writer: *Writer, lines: source.Comment) !void {
    for (lines) |line| if (std.mem.findAny(u8, line, "\"\\") != null) return error.CommentNeedsEscapes;
    try writer.print("    \"\"\"{s}", .{lines[0]});
    for (lines[1..]) |line| try writer.print("\n    {s}", .{line});
    try writer.writeAll(if (lines.len == 1) "\"\"\"\n" else "\n    \"\"\"\n");
}

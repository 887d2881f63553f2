//! This file reads from the Zig sources what reflection does not tell: comments, and the names of parameters.

const std = @import("std");
const Ast = std.zig.Ast;
const Allocator = std.mem.Allocator;

/// Lines without their slashes; none where a declaration has no comment.
pub const Comment = []const []const u8;

pub const Error = error{ OutOfMemory, NotInSource };

/// The files, each parsed when it is first asked for. Nothing is freed: the allocator is an arena.
pub const Sources = struct {
    allocator: Allocator,
    files: std.StringHashMapUnmanaged(*File) = .empty,
    /// How many declarations lack a comment that they need.
    undocumented: u32 = 0,

    /// A declaration at the top of the file that is the struct `F`.
    pub fn in(sources: *Sources, comptime F: type, name: []const u8) Error!Declaration {
        const path = comptime slashed(@typeName(F)) ++ ".zig";
        return (try sources.file(path, @embedFile("../../" ++ path))).declaration(name);
    }

    /// T's own declaration, at the top of a file.
    pub fn of(sources: *Sources, comptime T: type) Error!Declaration {
        const qualified = comptime slashed(@typeName(T));
        const end = comptime std.mem.findScalarLast(u8, qualified, '/').?;
        const path = qualified[0..end] ++ ".zig";
        return (try sources.file(path, @embedFile("../../" ++ path))).declaration(qualified[end + 1 ..]);
    }

    fn file(sources: *Sources, path: []const u8, text: [:0]const u8) Error!*File {
        const entry = try sources.files.getOrPut(sources.allocator, path);
        if (!entry.found_existing) {
            const tree: Ast = try .parse(sources.allocator, text, .zig);
            entry.value_ptr.* = try sources.allocator.create(File);
            entry.value_ptr.*.* = .{ .sources = sources, .path = path, .tree = tree };
        }
        return entry.value_ptr.*;
    }
};

const File = struct {
    sources: *Sources,
    path: []const u8,
    tree: Ast,

    fn declaration(file: *const File, name: []const u8) Error!Declaration {
        return file.find(file.tree.rootDecls(), name);
    }

    fn find(file: *const File, nodes: []const Ast.Node.Index, name: []const u8) Error!Declaration {
        for (nodes) |node| {
            const token = file.nameOf(node) orelse continue;
            if (!std.mem.eql(u8, file.tree.tokenSlice(token), name)) continue;
            return .{ .file = file, .name = name, .node = node };
        }
        return error.NotInSource;
    }

    fn nameOf(file: *const File, node: Ast.Node.Index) ?Ast.TokenIndex {
        var buffer: [1]Ast.Node.Index = undefined;
        if (file.tree.fullVarDecl(node)) |variable| return variable.ast.mut_token + 1;
        if (file.tree.fullFnProto(&buffer, node)) |function| return function.name_token;
        if (file.tree.fullContainerField(node)) |field| return field.ast.main_token;
        return null;
    }
};

pub const Declaration = struct {
    file: *const File,
    name: []const u8,
    node: Ast.Node.Index,

    pub fn comment(declaration: Declaration) Error!Comment {
        const tree = &declaration.file.tree;
        const last = tree.firstToken(declaration.node);
        var first = last;
        while (first > 0 and tree.tokenTag(first - 1) == .doc_comment) first -= 1;
        const lines = try declaration.file.sources.allocator.alloc([]const u8, last - first);
        for (lines, first..) |*line, token| {
            line.* = std.mem.trim(u8, tree.tokenSlice(@intCast(token))["///".len..], " ");
        }
        return lines;
    }

    /// For what nobody can use by its name alone.
    pub fn requiredComment(declaration: Declaration) Error!Comment {
        const lines = try declaration.comment();
        if (lines.len > 0) return lines;
        declaration.file.sources.undocumented += 1;
        const where = .{ declaration.file.path, declaration.name };
        std.debug.print("zig/{s}: {s} has no doc comment, and its callers see nothing else of this file\n", where);
        return &.{""};
    }

    /// A field or declaration inside of a struct, an enum or a namespace.
    pub fn member(declaration: Declaration, name: []const u8) Error!Declaration {
        const tree = &declaration.file.tree;
        const variable = tree.fullVarDecl(declaration.node) orelse return error.NotInSource;
        const value = variable.ast.init_node.unwrap() orelse return error.NotInSource;
        var buffer: [2]Ast.Node.Index = undefined;
        const container = tree.fullContainerDecl(&buffer, value) orelse return error.NotInSource;
        return declaration.file.find(container.ast.members, name);
    }

    /// The names of the parameters of a function, or of a type that points to one.
    pub fn parameters(declaration: Declaration) Error![]const []const u8 {
        const tree = &declaration.file.tree;
        var buffer: [1]Ast.Node.Index = undefined;
        const node = if (tree.fullVarDecl(declaration.node)) |variable| pointer: {
            const value = variable.ast.init_node.unwrap() orelse return error.NotInSource;
            break :pointer (tree.fullPtrType(value) orelse return error.NotInSource).ast.child_type;
        } else declaration.node;
        const function = tree.fullFnProto(&buffer, node) orelse return error.NotInSource;
        var names: std.ArrayList([]const u8) = .empty;
        var iterator = function.iterate(tree);
        while (iterator.next()) |parameter| {
            const token = parameter.name_token orelse return error.NotInSource;
            try names.append(declaration.file.sources.allocator, tree.tokenSlice(token));
        }
        return names.items;
    }
};

/// The path that a qualified name stands for.
fn slashed(comptime name: []const u8) []const u8 {
    comptime {
        var path: [name.len]u8 = name[0..name.len].*;
        for (&path) |*byte| if (byte.* == '.') {
            byte.* = '/';
        };
        const result = path;
        return &result;
    }
}

const testing = std.testing;

test "comments and parameters are found where they are" {
    var arena: std.heap.ArenaAllocator = .init(testing.allocator);
    defer arena.deinit();
    var sources: Sources = .{ .allocator = arena.allocator() };
    const file = try sources.file("example.zig",
        \\//! Not this one.
        \\
        \\/// Of the struct,
        \\/// on two lines.
        \\pub const Outer = extern struct {
        \\    plain: u32,
        \\    /// Of the field.
        \\    told: [4]u8 = @splat(0),
        \\};
        \\pub const flag = struct {
        \\    /// Of the bit.
        \\    pub const key: u32 = 1;
        \\};
        \\/// Of the function.
        \\pub export fn function(first: u32, second: ?[*]const u8) i32 {
        \\    return 0;
        \\}
        \\fn bare() void {}
        \\pub const Pointer = *const fn (third: u32) callconv(.c) void;
    );
    const outer = try file.declaration("Outer");
    try expectLines(&.{ "Of the struct,", "on two lines." }, try outer.comment());
    try expectLines(&.{}, try (try outer.member("plain")).comment());
    try expectLines(&.{"Of the field."}, try (try outer.member("told")).comment());
    try expectLines(&.{"Of the bit."}, try (try (try file.declaration("flag")).member("key")).comment());
    const function = try file.declaration("function");
    try expectLines(&.{"Of the function."}, try function.requiredComment());
    try expectLines(&.{ "first", "second" }, try function.parameters());
    try expectLines(&.{}, try (try file.declaration("bare")).parameters());
    try expectLines(&.{"third"}, try (try file.declaration("Pointer")).parameters());
    try testing.expectError(error.NotInSource, file.declaration("absent"));
    try testing.expectError(error.NotInSource, outer.member("absent"));
}

fn expectLines(expected: []const []const u8, found: []const []const u8) !void {
    try testing.expectEqual(expected.len, found.len);
    for (expected, found) |one, other| try testing.expectEqualStrings(one, other);
}

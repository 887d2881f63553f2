const std = @import("std");

pub fn build(b: *std.Build) void {
    const floor = b.addExecutable(.{
        .name = "floor",
        .root_module = b.createModule(.{
            .root_source_file = b.path("floor.zig"),
            .target = b.graph.host,
            .optimize = .ReleaseFast,
            .link_libc = true,
        }),
    });
    b.installArtifact(floor);
}

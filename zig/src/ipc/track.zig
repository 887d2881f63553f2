//! A track is one stream of encoded packets of a publisher. This file says what is told of it.

const std = @import("std");
const layout = @import("../ring/mod.zig").layout;
const texts = @import("text.zig");

pub const tracks_max = layout.tracks_max;
/// Bytes of a track's texts, their last NUL included.
pub const label_size = 64;
pub const language_size = 16;
pub const codec_name_size = 48;

/// What a track carries.
pub const Kind = enum(u32) {
    video = 1,
    audio = 2,
    data = 3,
};

/// What a track's packets are. Text is NUL-padded UTF-8.
pub const TrackInfo = extern struct {
    /// A kind of track.
    kind: u32,
    /// FFmpeg's AVCodecID.
    codec_id: u32,
    /// Counts what the track has been, from 1: each codec that it changes to.
    generation: u32 = 0,
    /// Of audio, in Hz; 0: not known.
    sample_rate: u32 = 0,
    /// Of audio; 0: not known.
    channels: u32 = 0,
    /// Of video, in pixels; 0: not known.
    width: u32 = 0,
    height: u32 = 0,
    /// The track's number.
    index: u32 = 0,
    /// BCP 47 or ISO 639-2; empty: not known.
    language: [language_size]u8 = @splat(0),
    /// For people, and to find a track by; empty: none.
    label: [label_size]u8 = @splat(0),
    /// Of what FFmpeg has no number for, as `json`; else empty.
    codec_name: [codec_name_size]u8 = @splat(0),

    /// What another process says of a track, with nothing in it that could be no text; null: that is none.
    pub fn fromPeer(told: *const TrackInfo) ?TrackInfo {
        if (std.enums.fromInt(Kind, told.kind) == null or told.generation == 0) return null;
        var info = told.*;
        for ([_][]u8{ &info.language, &info.label, &info.codec_name }) |field| texts.sanitize(field);
        return info;
    }
};

/// Which track a reader follows.
pub const Selector = struct {
    /// Undefined: the first that fits.
    index: ?u32,
    /// Undefined: of any kind.
    kind: ?Kind,
    /// Empty: any.
    label: []const u8,

    pub fn fits(selector: *const Selector, index: usize, info: *const TrackInfo) bool {
        if (selector.index) |wanted| if (wanted != index) return false;
        if (selector.kind) |kind| if (@intFromEnum(kind) != info.kind) return false;
        return selector.label.len == 0 or std.mem.eql(u8, selector.label, texts.of(&info.label));
    }
};

comptime {
    std.debug.assert(@sizeOf(TrackInfo) == 160);
    std.debug.assert(tracks_max == 8);
}

test "a selector takes the track of its index, kind and label" {
    const testing = std.testing;
    var info: TrackInfo = .{ .kind = @intFromEnum(Kind.data), .codec_id = 1, .generation = 1 };
    texts.set(&info.label, "detections");
    const any: Selector = .{ .index = null, .kind = null, .label = "" };
    try testing.expect(any.fits(3, &info));
    var wanted = any;
    wanted.index = 2;
    try testing.expect(!wanted.fits(3, &info));
    wanted = any;
    wanted.kind = .audio;
    try testing.expect(!wanted.fits(3, &info));
    wanted = any;
    wanted.label = "detection";
    try testing.expect(!wanted.fits(3, &info));
    wanted.label = "detections";
    try testing.expect(wanted.fits(3, &info));
}

test "a peer's track is of a known kind, has a generation, and text in its texts" {
    const testing = std.testing;
    var info: TrackInfo = .{ .kind = 4, .codec_id = 1, .generation = 1 };
    try testing.expectEqual(null, info.fromPeer());
    info.kind = @intFromEnum(Kind.audio);
    info.generation = 0;
    try testing.expectEqual(null, info.fromPeer());
    info.generation = 1;
    info.label = @splat('\n');
    const clean = info.fromPeer().?;
    try testing.expectEqualStrings("?" ** (label_size - 1), texts.of(&clean.label));
}

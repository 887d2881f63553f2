//! Memory that a publisher has handed over waits here until the owner of the frames maps it. The reactor receives it,
//! whatever the owner is busy with; only the owner may change what is mapped, since it looks at it.

const std = @import("std");
const assert = std.debug.assert;
const layout = @import("../ring/mod.zig").layout;
const bitOf = @import("../ring/mod.zig").leases.bitOf;
const closer = @import("../os/mod.zig").closer;
const Mutex = @import("../os/mod.zig").mutex.Mutex;

pub const Inbox = struct {
    /// Held for a few stores only.
    mutex: Mutex = .{},
    /// Atomic. The slots of which there is news, as a mask.
    pending: u64 = 0,
    letters: [layout.slots_max]Letter = undefined,

    /// The newest that was said of a slot.
    pub const Letter = struct {
        /// -1: the slot has no memory any more.
        fd: i32,
        generation: u32,
    };

    /// Safe from any thread.
    pub fn hasNews(inbox: *const Inbox) bool {
        return @atomicLoad(u64, &inbox.pending, .seq_cst) != 0;
    }

    /// Takes the descriptor over. What was said of the slot before, and not looked at, is overtaken.
    pub fn put(inbox: *Inbox, slot: u6, letter: Letter) void {
        const overtaken = inbox.exchange(slot, letter);
        if (overtaken) |fd| closer.close(fd);
    }

    fn exchange(inbox: *Inbox, slot: u6, letter: Letter) ?i32 {
        inbox.mutex.lock();
        defer inbox.mutex.unlock();
        const before: ?i32 = if (inbox.pending & bitOf(slot) != 0 and inbox.letters[slot].fd >= 0)
            inbox.letters[slot].fd
        else
            null;
        inbox.letters[slot] = letter;
        @atomicStore(u64, &inbox.pending, inbox.pending | bitOf(slot), .seq_cst);
        return before;
    }

    /// The next slot of which there is news, and the news, which is the caller's; null: there is none.
    pub fn take(inbox: *Inbox) ?struct { u6, Letter } {
        inbox.mutex.lock();
        defer inbox.mutex.unlock();
        if (inbox.pending == 0) return null;
        const slot: u6 = @intCast(@ctz(inbox.pending));
        @atomicStore(u64, &inbox.pending, inbox.pending & ~bitOf(slot), .seq_cst);
        return .{ slot, inbox.letters[slot] };
    }

    /// Puts back what could not be mapped, unless it has been overtaken.
    pub fn putBack(inbox: *Inbox, slot: u6, letter: Letter) void {
        const overtaken = overtaken: {
            inbox.mutex.lock();
            defer inbox.mutex.unlock();
            if (inbox.pending & bitOf(slot) != 0) break :overtaken true;
            inbox.letters[slot] = letter;
            @atomicStore(u64, &inbox.pending, inbox.pending | bitOf(slot), .seq_cst);
            break :overtaken false;
        };
        if (overtaken and letter.fd >= 0) closer.close(letter.fd);
    }

    /// Closes what nobody has taken.
    pub fn deinit(inbox: *Inbox) void {
        while (inbox.take()) |news| {
            _, const letter = news;
            if (letter.fd >= 0) closer.close(letter.fd);
        }
    }
};

test "the newest word on a slot counts, and what failed can be tried again" {
    const testing = std.testing;
    const memfd = @import("../os/mod.zig").memfd;
    const os_fd = @import("../os/mod.zig").fd;
    var inbox: Inbox = .{};
    try testing.expect(inbox.take() == null and !inbox.hasNews());
    inbox.put(3, .{ .fd = try memfd.create("test", 1), .generation = 1 });
    inbox.put(3, .{ .fd = try memfd.create("test", 1), .generation = 2 });
    inbox.put(7, .{ .fd = -1, .generation = 9 });
    const slot, const letter = inbox.take().?;
    try testing.expectEqual(3, slot);
    try testing.expectEqual(2, letter.generation);
    inbox.putBack(slot, letter);
    const again, const second = inbox.take().?;
    try testing.expectEqual(3, again);
    inbox.put(3, .{ .fd = -1, .generation = 3 });
    inbox.putBack(again, second);
    _, const last = inbox.take().?;
    try testing.expectEqual(3, last.generation);
    try testing.expect(inbox.hasNews());
    inbox.put(8, .{ .fd = try memfd.create("test", 1), .generation = 1 });
    inbox.deinit();
    try testing.expect(!inbox.hasNews());
    const probe = try memfd.create("test", 1);
    os_fd.close(probe);
}

test { _ = @import("ring/leases.zig"); _ = @import("ring/frames.zig"); _ = @import("ring/layout.zig"); }

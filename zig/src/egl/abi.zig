//! EGL as this library uses it: types, constants and one table of functions. Names are Khronos's own, without the
//! prefix EGL_ of constants and the suffixes of extensions that they come from, so that each can be looked up in the
//! registry.

const FunctionTable = @import("../core/function_table.zig").FunctionTable;

pub const EGLDisplay = ?*opaque {};
pub const EGLDevice = ?*opaque {};
pub const EGLContext = ?*opaque {};
pub const EGLClientBuffer = ?*opaque {};
pub const EGLImage = ?*opaque {};
/// EGLint, EGLBoolean and EGLenum are 32 bits wide.
pub const EGLint = i32;
pub const EGLBoolean = c_uint;
pub const EGLenum = c_uint;
/// As wide as a pointer.
pub const EGLAttrib = isize;

/// What eglGetError returns.
pub const Code = enum(EGLint) {
    EGL_SUCCESS = 0x3000,
    EGL_NOT_INITIALIZED = 0x3001,
    EGL_BAD_ACCESS = 0x3002,
    EGL_BAD_ALLOC = 0x3003,
    EGL_BAD_ATTRIBUTE = 0x3004,
    EGL_BAD_CONFIG = 0x3005,
    EGL_BAD_CONTEXT = 0x3006,
    EGL_BAD_CURRENT_SURFACE = 0x3007,
    EGL_BAD_DISPLAY = 0x3008,
    EGL_BAD_MATCH = 0x3009,
    EGL_BAD_NATIVE_PIXMAP = 0x300A,
    EGL_BAD_NATIVE_WINDOW = 0x300B,
    EGL_BAD_PARAMETER = 0x300C,
    EGL_BAD_SURFACE = 0x300D,
    EGL_CONTEXT_LOST = 0x300E,
    EGL_BAD_DEVICE_EXT = 0x322B,
    _,
};

pub const NONE: EGLint = 0x3038;
pub const VENDOR: EGLint = 0x3053;
pub const EXTENSIONS: EGLint = 0x3055;
pub const HEIGHT: EGLint = 0x3056;
pub const WIDTH: EGLint = 0x3057;
pub const PLATFORM_DEVICE: EGLenum = 0x313F;
pub const DRM_DEVICE_FILE: EGLint = 0x3233;
pub const CUDA_DEVICE: EGLint = 0x323A;
pub const LINUX_DMA_BUF: EGLenum = 0x3270;
pub const LINUX_DRM_FOURCC: EGLint = 0x3271;

/// The attributes of one plane of a dma-buf: EGL_DMA_BUF_PLANEn_…
pub const PlaneAttributes = struct { fd: EGLint, offset: EGLint, pitch: EGLint, modifier_lo: EGLint, modifier_hi: EGLint };

pub const plane_attributes = [_]PlaneAttributes{
    .{ .fd = 0x3272, .offset = 0x3273, .pitch = 0x3274, .modifier_lo = 0x3443, .modifier_hi = 0x3444 },
    .{ .fd = 0x3275, .offset = 0x3276, .pitch = 0x3277, .modifier_lo = 0x3445, .modifier_hi = 0x3446 },
    .{ .fd = 0x3278, .offset = 0x3279, .pitch = 0x327A, .modifier_lo = 0x3447, .modifier_hi = 0x3448 },
    .{ .fd = 0x3440, .offset = 0x3441, .pitch = 0x3442, .modifier_lo = 0x3449, .modifier_hi = 0x344A },
};

pub const Declaration = struct {
    name: [:0]const u8,
    parameters: []const type,
    result: type,
    /// Exported by libEGL itself; the others come from eglGetProcAddress and may be missing.
    core: bool = false,

    pub fn Type(comptime declaration: Declaration) type {
        return @Fn(declaration.parameters, &@splat(.{}), declaration.result, .{ .@"callconv" = .c });
    }

    pub fn Pointer(comptime declaration: Declaration) type {
        return if (declaration.core) *const declaration.Type() else ?*const declaration.Type();
    }
};

/// Every EGL function that the library calls, declared here and nowhere else.
pub const functions = [_]Declaration{
    .{ .name = "eglGetProcAddress", .parameters = &.{[*:0]const u8}, .result = ?*anyopaque, .core = true },
    .{ .name = "eglGetError", .parameters = &.{}, .result = Code, .core = true },
    .{ .name = "eglQueryString", .parameters = &.{ EGLDisplay, EGLint }, .result = ?[*:0]const u8, .core = true },
    .{ .name = "eglInitialize", .parameters = &.{ EGLDisplay, ?*EGLint, ?*EGLint }, .result = EGLBoolean, .core = true },

    // EGL_EXT_device_enumeration, EGL_EXT_device_query: together EGL_EXT_device_base.
    .{ .name = "eglQueryDevicesEXT", .parameters = &.{ EGLint, ?[*]EGLDevice, *EGLint }, .result = EGLBoolean },
    .{ .name = "eglQueryDeviceStringEXT", .parameters = &.{ EGLDevice, EGLint }, .result = ?[*:0]const u8 },
    .{ .name = "eglQueryDeviceAttribEXT", .parameters = &.{ EGLDevice, EGLint, *EGLAttrib }, .result = EGLBoolean },
    // EGL_EXT_platform_base
    .{ .name = "eglGetPlatformDisplayEXT", .parameters = &.{ EGLenum, EGLDevice, ?[*]const EGLint }, .result = EGLDisplay },
    // EGL_KHR_image_base
    .{ .name = "eglCreateImageKHR", .parameters = &.{ EGLDisplay, EGLContext, EGLenum, EGLClientBuffer, [*]const EGLint }, .result = EGLImage },
    .{ .name = "eglDestroyImageKHR", .parameters = &.{ EGLDisplay, EGLImage }, .result = EGLBoolean },
    // EGL_EXT_image_dma_buf_import_modifiers
    .{ .name = "eglQueryDmaBufFormatsEXT", .parameters = &.{ EGLDisplay, EGLint, ?[*]EGLint, *EGLint }, .result = EGLBoolean },
    .{ .name = "eglQueryDmaBufModifiersEXT", .parameters = &.{ EGLDisplay, EGLint, EGLint, ?[*]u64, ?[*]EGLBoolean, *EGLint }, .result = EGLBoolean },
};

const table = FunctionTable(functions);
pub const Function = table.Function;
/// Those that are not core may be null.
pub const Functions = table.Pointers;
pub const declarationOf = table.declarationOf;
pub const Arguments = table.Arguments;

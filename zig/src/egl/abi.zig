//! This file declares EGL as this library uses it: types, constants and one table of functions. Names are Khronos's
//! own, without the prefix EGL_ of constants and the suffixes of extensions that they come from, so that each can be
//! looked up in the registry.

const function_table = @import("../core/mod.zig").function_table;

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
pub const PlaneAttributes = struct {
    fd: EGLint,
    offset: EGLint,
    pitch: EGLint,
    modifier_lo: EGLint,
    modifier_hi: EGLint,
};

pub const plane_attributes = [_]PlaneAttributes{
    .{ .fd = 0x3272, .offset = 0x3273, .pitch = 0x3274, .modifier_lo = 0x3443, .modifier_hi = 0x3444 },
    .{ .fd = 0x3275, .offset = 0x3276, .pitch = 0x3277, .modifier_lo = 0x3445, .modifier_hi = 0x3446 },
    .{ .fd = 0x3278, .offset = 0x3279, .pitch = 0x327A, .modifier_lo = 0x3447, .modifier_hi = 0x3448 },
    .{ .fd = 0x3440, .offset = 0x3441, .pitch = 0x3442, .modifier_lo = 0x3449, .modifier_hi = 0x344A },
};

pub const Declaration = function_table.Declaration;

/// What libEGL itself exports.
fn exported(name: [:0]const u8, parameters: []const type, result: type) Declaration {
    return .{ .name = name, .parameters = parameters, .result = result };
}

/// What eglGetProcAddress knows, or does not.
fn extension(name: [:0]const u8, parameters: []const type, result: type) Declaration {
    return .{ .name = name, .parameters = parameters, .result = result, .optional = true };
}

/// Every EGL function that the library calls, declared here and nowhere else.
pub const functions = [_]Declaration{
    exported("eglGetProcAddress", &.{[*:0]const u8}, ?*anyopaque),
    exported("eglGetError", &.{}, Code),
    exported("eglQueryString", &.{ EGLDisplay, EGLint }, ?[*:0]const u8),
    exported("eglInitialize", &.{ EGLDisplay, ?*EGLint, ?*EGLint }, EGLBoolean),

    // EGL_EXT_device_enumeration, EGL_EXT_device_query: together EGL_EXT_device_base.
    extension("eglQueryDevicesEXT", &.{ EGLint, ?[*]EGLDevice, *EGLint }, EGLBoolean),
    extension("eglQueryDeviceStringEXT", &.{ EGLDevice, EGLint }, ?[*:0]const u8),
    extension("eglQueryDeviceAttribEXT", &.{ EGLDevice, EGLint, *EGLAttrib }, EGLBoolean),
    // EGL_EXT_platform_base
    extension("eglGetPlatformDisplayEXT", &.{ EGLenum, EGLDevice, ?[*]const EGLint }, EGLDisplay),
    // EGL_KHR_image_base
    extension("eglCreateImageKHR", &.{ EGLDisplay, EGLContext, EGLenum, EGLClientBuffer, [*]const EGLint }, EGLImage),
    extension("eglDestroyImageKHR", &.{ EGLDisplay, EGLImage }, EGLBoolean),
    // EGL_EXT_image_dma_buf_import_modifiers
    extension("eglQueryDmaBufFormatsEXT", &.{ EGLDisplay, EGLint, ?[*]EGLint, *EGLint }, EGLBoolean),
    extension(
        "eglQueryDmaBufModifiersEXT",
        &.{ EGLDisplay, EGLint, EGLint, ?[*]u64, ?[*]EGLBoolean, *EGLint },
        EGLBoolean,
    ),
};

const table = function_table.FunctionTable(&functions);
pub const Function = table.Function;
/// Those of optional functions may be null.
pub const Functions = table.Pointers;
pub const declarationOf = table.declarationOf;
pub const Arguments = table.Arguments;

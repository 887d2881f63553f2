//! This file declares the CUDA driver API as this library uses it: types, constants and one table of functions.
//!
//! Names are NVIDIA's own, so that each can be looked up in the CUDA Driver API reference. The
//! layouts are those of CUDA 10.2 to 13; they have not changed since the versions in the table.

const std = @import("std");
const assert = std.debug.assert;
const function_table = @import("../core/mod.zig").function_table;

pub const CUdevice = c_int;
/// A device address. Never dereferenced on the host.
pub const CUdeviceptr = u64;
pub const CUmemGenericAllocationHandle = u64;
pub const CUcontext = ?*opaque {};
/// null is the legacy default stream.
pub const CUstream = ?*opaque {};
pub const CUevent = ?*opaque {};
pub const CUarray = ?*opaque {};
pub const CUgraphicsResource = ?*opaque {};
/// EGLImageKHR of cudaEGL.h.
pub const EGLImage = ?*opaque {};
pub const CUuuid = [16]u8;

/// What a driver call returns: the codes that the calls below are documented or seen to return.
/// The driver itself names and explains any code, listed or not (`cuGetErrorName`).
pub const CUresult = enum(c_int) {
    CUDA_SUCCESS = 0,
    CUDA_ERROR_INVALID_VALUE = 1,
    CUDA_ERROR_OUT_OF_MEMORY = 2,
    CUDA_ERROR_NOT_INITIALIZED = 3,
    CUDA_ERROR_DEINITIALIZED = 4,
    CUDA_ERROR_STUB_LIBRARY = 34,
    CUDA_ERROR_CALL_REQUIRES_NEWER_DRIVER = 36,
    CUDA_ERROR_DEVICE_UNAVAILABLE = 46,
    CUDA_ERROR_NO_DEVICE = 100,
    CUDA_ERROR_INVALID_DEVICE = 101,
    CUDA_ERROR_INVALID_CONTEXT = 201,
    CUDA_ERROR_MAP_FAILED = 205,
    CUDA_ERROR_UNMAP_FAILED = 206,
    CUDA_ERROR_NOT_MAPPED = 211,
    CUDA_ERROR_ECC_UNCORRECTABLE = 214,
    CUDA_ERROR_PEER_ACCESS_UNSUPPORTED = 217,
    CUDA_ERROR_OPERATING_SYSTEM = 304,
    CUDA_ERROR_INVALID_HANDLE = 400,
    CUDA_ERROR_ILLEGAL_STATE = 401,
    CUDA_ERROR_NOT_FOUND = 500,
    CUDA_ERROR_NOT_READY = 600,
    CUDA_ERROR_ILLEGAL_ADDRESS = 700,
    CUDA_ERROR_CONTEXT_IS_DESTROYED = 709,
    CUDA_ERROR_LAUNCH_FAILED = 719,
    CUDA_ERROR_NOT_PERMITTED = 800,
    CUDA_ERROR_NOT_SUPPORTED = 801,
    CUDA_ERROR_SYSTEM_NOT_READY = 802,
    CUDA_ERROR_SYSTEM_DRIVER_MISMATCH = 803,
    CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE = 804,
    CUDA_ERROR_UNKNOWN = 999,
    _,
};

pub const CUdevice_attribute = enum(c_int) {
    COMPUTE_CAPABILITY_MAJOR = 75,
    COMPUTE_CAPABILITY_MINOR = 76,
    VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED = 102,
    HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED = 103,
    DMA_BUF_SUPPORTED = 124,
    _,
};

pub const CUpointer_attribute = enum(c_int) {
    /// CUcontext; null for memory of `cuMemCreate`, which belongs to none.
    CONTEXT = 1,
    /// CUmemorytype, a c_uint; 0 for an address that the driver does not know.
    MEMORY_TYPE = 2,
    DEVICE_POINTER = 3,
    HOST_POINTER = 4,
    /// c_uint, not 0 for managed memory.
    IS_MANAGED = 8,
    /// c_int; −2 for an address that the driver does not know.
    DEVICE_ORDINAL = 9,
    /// CUdeviceptr.
    RANGE_START_ADDR = 11,
    /// usize.
    RANGE_SIZE = 12,
    /// c_uint, not 0 where an address reservation is mapped.
    MAPPED = 13,
    /// c_uint, a CUmemAccess_flags: what the current context's device may do there.
    ACCESS_FLAGS = 16,
    /// usize.
    MAPPING_SIZE = 18,
    /// CUdeviceptr.
    MAPPING_BASE_ADDR = 19,
    _,
};

pub const CUmemorytype = enum(c_uint) { UNKNOWN = 0, HOST = 1, DEVICE = 2, ARRAY = 3, UNIFIED = 4, _ };

pub const CUmemAllocationType = enum(c_int) { INVALID = 0, PINNED = 1, _ };
pub const CUmemAllocationHandleType = enum(c_int) { NONE = 0, POSIX_FILE_DESCRIPTOR = 1, _ };
pub const CUmemLocationType = enum(c_int) { INVALID = 0, DEVICE = 1, _ };
pub const CUmemAccess_flags = enum(c_int) { NONE = 0, READ = 1, READWRITE = 3, _ };
pub const CUmemAllocationGranularity_flags = enum(c_int) { MINIMUM = 0, RECOMMENDED = 1, _ };
pub const CUmemRangeHandleType = enum(c_int) { DMA_BUF_FD = 1, _ };

pub const CUarray_format = enum(c_uint) {
    UNSIGNED_INT8 = 0x01,
    UNSIGNED_INT16 = 0x02,
    UNSIGNED_INT32 = 0x03,
    SIGNED_INT8 = 0x08,
    SIGNED_INT16 = 0x09,
    SIGNED_INT32 = 0x0a,
    HALF = 0x10,
    FLOAT = 0x20,
    UNORM_INT8X1 = 0xc0,
    UNORM_INT8X2 = 0xc1,
    UNORM_INT8X4 = 0xc2,
    UNORM_INT16X1 = 0xc3,
    UNORM_INT16X2 = 0xc4,
    UNORM_INT16X4 = 0xc5,
    _,

    /// Bytes of one channel; 0 for a format that is not known here.
    pub fn size(format: CUarray_format) u32 {
        return switch (format) {
            .UNSIGNED_INT8, .SIGNED_INT8, .UNORM_INT8X1, .UNORM_INT8X2, .UNORM_INT8X4 => 1,
            .UNSIGNED_INT16, .SIGNED_INT16, .HALF, .UNORM_INT16X1, .UNORM_INT16X2, .UNORM_INT16X4 => 2,
            .UNSIGNED_INT32, .SIGNED_INT32, .FLOAT => 4,
            _ => 0,
        };
    }
};

pub const CUDA_ARRAY_DESCRIPTOR = extern struct {
    Width: usize,
    Height: usize,
    Format: CUarray_format,
    NumChannels: c_uint,
};

pub const CUeglFrameType = enum(c_uint) { ARRAY = 0, PITCH = 1, _ };

/// Those of cudaEGL.h that images come in; the comments there say which bytes a name stands for.
pub const CUeglColorFormat = enum(c_uint) {
    YUV420_SEMIPLANAR = 0x01,
    /// Bytes B, G, R, A.
    ARGB = 0x06,
    L = 0x08,
    R = 0x09,
    /// "Interleaved as UYVY".
    YUYV_422 = 0x0C,
    /// "Interleaved as YUYV".
    UYVY_422 = 0x0D,
    /// Bytes R, G, B, A.
    ABGR = 0x0E,
    RG = 0x11,
    Y = 0x52,
    _,
};

/// A registered EGLImage as CUDA sees it.
pub const CUeglFrame = extern struct {
    /// CUarrays or device pointers, by `frameType`.
    frame: [3]u64,
    width: c_uint,
    height: c_uint,
    depth: c_uint,
    /// Of the first plane; the chroma plane of a semi-planar format has the same.
    pitch: c_uint,
    planeCount: c_uint,
    numChannels: c_uint,
    frameType: CUeglFrameType,
    eglColorFormat: CUeglColorFormat,
    cuFormat: CUarray_format,
};

pub const CU_GRAPHICS_REGISTER_FLAGS_READ_ONLY: c_uint = 0x1;

pub const CU_STREAM_NON_BLOCKING: c_uint = 0x1;
pub const CU_EVENT_BLOCKING_SYNC: c_uint = 0x1;
pub const CU_EVENT_DISABLE_TIMING: c_uint = 0x2;
pub const CU_MEMHOSTALLOC_PORTABLE: c_uint = 0x1;

pub const CUmemLocation = extern struct {
    type: CUmemLocationType,
    id: c_int,
};

pub const CUmemAllocationProp = extern struct {
    type: CUmemAllocationType,
    requestedHandleTypes: CUmemAllocationHandleType,
    location: CUmemLocation,
    win32HandleMetaData: ?*anyopaque = null,
    allocFlags: extern struct {
        compressionType: u8 = 0,
        gpuDirectRDMACapable: u8 = 0,
        usage: u16 = 0,
        reserved: [4]u8 = @splat(0),
    } = .{},
};

pub const CUmemAccessDesc = extern struct {
    location: CUmemLocation,
    flags: CUmemAccess_flags,
};

pub const CUDA_MEMCPY2D = extern struct {
    srcXInBytes: usize = 0,
    srcY: usize = 0,
    srcMemoryType: CUmemorytype,
    srcHost: ?*const anyopaque = null,
    srcDevice: CUdeviceptr = 0,
    srcArray: CUarray = null,
    srcPitch: usize = 0,

    dstXInBytes: usize = 0,
    dstY: usize = 0,
    dstMemoryType: CUmemorytype,
    dstHost: ?*anyopaque = null,
    dstDevice: CUdeviceptr = 0,
    dstArray: CUarray = null,
    dstPitch: usize = 0,

    WidthInBytes: usize,
    Height: usize,
};

comptime {
    assert(@sizeOf(CUmemLocation) == 8);
    assert(@offsetOf(CUmemLocation, "id") == 4);

    assert(@sizeOf(CUmemAllocationProp) == 32);
    assert(@offsetOf(CUmemAllocationProp, "requestedHandleTypes") == 4);
    assert(@offsetOf(CUmemAllocationProp, "location") == 8);
    assert(@offsetOf(CUmemAllocationProp, "win32HandleMetaData") == 16);
    assert(@offsetOf(CUmemAllocationProp, "allocFlags") == 24);

    assert(@sizeOf(CUmemAccessDesc) == 12);
    assert(@offsetOf(CUmemAccessDesc, "flags") == 8);

    assert(@sizeOf(CUDA_ARRAY_DESCRIPTOR) == 24);
    assert(@offsetOf(CUDA_ARRAY_DESCRIPTOR, "Format") == 16);

    assert(@sizeOf(CUeglFrame) == 64);
    assert(@offsetOf(CUeglFrame, "width") == 24);
    assert(@offsetOf(CUeglFrame, "frameType") == 48);
    assert(@offsetOf(CUeglFrame, "cuFormat") == 56);

    assert(@sizeOf(CUDA_MEMCPY2D) == 128);
    assert(@offsetOf(CUDA_MEMCPY2D, "srcMemoryType") == 16);
    assert(@offsetOf(CUDA_MEMCPY2D, "srcHost") == 24);
    assert(@offsetOf(CUDA_MEMCPY2D, "srcPitch") == 48);
    assert(@offsetOf(CUDA_MEMCPY2D, "dstXInBytes") == 56);
    assert(@offsetOf(CUDA_MEMCPY2D, "dstMemoryType") == 72);
    assert(@offsetOf(CUDA_MEMCPY2D, "dstHost") == 80);
    assert(@offsetOf(CUDA_MEMCPY2D, "dstPitch") == 104);
    assert(@offsetOf(CUDA_MEMCPY2D, "WidthInBytes") == 112);
    assert(@offsetOf(CUDA_MEMCPY2D, "Height") == 120);
}

pub const Declaration = function_table.Declaration;

/// Every driver function returns a CUresult. `since` is the first CUDA version whose driver has it, as
/// `cuDriverGetVersion` counts (1000 × major + 10 × minor).
fn required(name: [:0]const u8, since: u16, parameters: []const type) Declaration {
    return .{ .name = name, .since = since, .parameters = parameters, .result = CUresult };
}

fn optional(name: [:0]const u8, since: u16, parameters: []const type) Declaration {
    return .{ .name = name, .since = since, .parameters = parameters, .result = CUresult, .optional = true };
}

/// Every driver function that the library calls, declared here and nowhere else.
pub const functions = [_]Declaration{
    required("cuInit", 2000, &.{c_uint}),
    required("cuDriverGetVersion", 2020, &.{*c_int}),
    required("cuGetErrorName", 6000, &.{ CUresult, *?[*:0]const u8 }),
    required("cuGetErrorString", 6000, &.{ CUresult, *?[*:0]const u8 }),

    required("cuDeviceGetCount", 2000, &.{*c_int}),
    required("cuDeviceGet", 2000, &.{ *CUdevice, c_int }),
    required("cuDeviceGetName", 2000, &.{ [*]u8, c_int, CUdevice }),
    required("cuDeviceGetUuid", 9020, &.{ *CUuuid, CUdevice }),
    // Tells the instances of a partitioned (MIG) device apart, which the first one does not.
    optional("cuDeviceGetUuid_v2", 11040, &.{ *CUuuid, CUdevice }),
    required("cuDeviceGetAttribute", 2000, &.{ *c_int, CUdevice_attribute, CUdevice }),
    required("cuDeviceTotalMem_v2", 3020, &.{ *usize, CUdevice }),

    required("cuDevicePrimaryCtxRetain", 7000, &.{ *CUcontext, CUdevice }),
    required("cuDevicePrimaryCtxRelease_v2", 11000, &.{CUdevice}),
    required("cuCtxPushCurrent_v2", 4000, &.{CUcontext}),
    required("cuCtxPopCurrent_v2", 4000, &.{*CUcontext}),
    required("cuCtxSetCurrent", 4000, &.{CUcontext}),
    required("cuCtxGetCurrent", 4000, &.{*CUcontext}),
    required("cuCtxGetDevice", 2000, &.{*CUdevice}),

    required("cuMemGetInfo_v2", 3020, &.{ *usize, *usize }),
    required("cuMemGetAllocationGranularity", 10020, &.{
        *usize, *const CUmemAllocationProp, CUmemAllocationGranularity_flags,
    }),
    required("cuMemCreate", 10020, &.{
        *CUmemGenericAllocationHandle, usize, *const CUmemAllocationProp, c_ulonglong,
    }),
    required("cuMemRelease", 10020, &.{CUmemGenericAllocationHandle}),
    required("cuMemExportToShareableHandle", 10020, &.{
        *anyopaque, CUmemGenericAllocationHandle, CUmemAllocationHandleType, c_ulonglong,
    }),
    // The second argument of a descriptor import is the descriptor itself, as wide as a pointer.
    required("cuMemImportFromShareableHandle", 10020, &.{
        *CUmemGenericAllocationHandle, usize, CUmemAllocationHandleType,
    }),
    required("cuMemAddressReserve", 10020, &.{
        *CUdeviceptr, usize, usize, CUdeviceptr, c_ulonglong,
    }),
    required("cuMemAddressFree", 10020, &.{ CUdeviceptr, usize }),
    required("cuMemMap", 10020, &.{
        CUdeviceptr, usize, usize, CUmemGenericAllocationHandle, c_ulonglong,
    }),
    required("cuMemUnmap", 10020, &.{ CUdeviceptr, usize }),
    required("cuMemSetAccess", 10020, &.{
        CUdeviceptr, usize, [*]const CUmemAccessDesc, usize,
    }),
    optional("cuMemGetHandleForAddressRange", 11070, &.{
        *anyopaque, CUdeviceptr, usize, CUmemRangeHandleType, c_ulonglong,
    }),

    required("cuMemAlloc_v2", 3020, &.{ *CUdeviceptr, usize }),
    required("cuMemFree_v2", 3020, &.{CUdeviceptr}),
    required("cuMemHostAlloc", 2020, &.{ *?*anyopaque, usize, c_uint }),
    required("cuMemFreeHost", 2000, &.{*anyopaque}),
    required("cuMemGetAddressRange_v2", 3020, &.{ ?*CUdeviceptr, ?*usize, CUdeviceptr }),
    required("cuPointerGetAttributes", 7000, &.{
        c_uint, [*]const CUpointer_attribute, [*]const *anyopaque, CUdeviceptr,
    }),

    required("cuArrayGetDescriptor_v2", 3020, &.{ *CUDA_ARRAY_DESCRIPTOR, CUarray }),
    optional("cuGraphicsEGLRegisterImage", 7000, &.{
        *CUgraphicsResource, EGLImage, c_uint,
    }),
    optional("cuGraphicsResourceGetMappedEglFrame", 7000, &.{
        *CUeglFrame, CUgraphicsResource, c_uint, c_uint,
    }),
    required("cuGraphicsUnregisterResource", 3000, &.{CUgraphicsResource}),

    required("cuMemcpy2DAsync_v2", 3020, &.{ *const CUDA_MEMCPY2D, CUstream }),
    required("cuMemcpyDtoHAsync_v2", 3020, &.{ *anyopaque, CUdeviceptr, usize, CUstream }),
    required("cuMemcpyHtoDAsync_v2", 3020, &.{ CUdeviceptr, *const anyopaque, usize, CUstream }),
    required("cuMemcpyDtoDAsync_v2", 3020, &.{ CUdeviceptr, CUdeviceptr, usize, CUstream }),
    required("cuMemsetD8Async", 3020, &.{ CUdeviceptr, u8, usize, CUstream }),
    required("cuMemsetD2D8Async", 3020, &.{ CUdeviceptr, usize, u8, usize, usize, CUstream }),

    required("cuStreamCreateWithPriority", 5050, &.{ *CUstream, c_uint, c_int }),
    required("cuStreamDestroy_v2", 4000, &.{CUstream}),
    required("cuStreamSynchronize", 2000, &.{CUstream}),
    required("cuStreamQuery", 2000, &.{CUstream}),
    required("cuStreamWaitEvent", 3020, &.{ CUstream, CUevent, c_uint }),
    required("cuEventCreate", 2000, &.{ *CUevent, c_uint }),
    required("cuEventDestroy_v2", 4000, &.{CUevent}),
    required("cuEventRecord", 2000, &.{ CUevent, CUstream }),
    required("cuEventQuery", 2000, &.{CUevent}),
    required("cuEventSynchronize", 2000, &.{CUevent}),
};

const table = function_table.FunctionTable(&functions);
pub const Function = table.Function;
/// Those of optional functions may be null.
pub const Functions = table.Pointers;
pub const declarationOf = table.declarationOf;
pub const Arguments = table.Arguments;

//! This is what the double of libEGL.so.1 tells that of libcuda.so.1 of an image.

pub const Description = extern struct {
    width: u32,
    height: u32,
    plane_count: u32,
    /// Of the first plane.
    channels: u32,
    channel_bytes: u32,
    /// CUeglColorFormat
    color_format: u32,
    /// 1: CUDA gets pitched planes, 0: arrays.
    is_pitch: u32,
    reserved: u32 = 0,
    planes: [2]Plane,
};

pub const Plane = extern struct {
    buffer_size: u64,
    offset: u64,
    fd: i32,
    pitch: u32,
    row_bytes: u32,
    rows: u32,
};

//! This module is what a test double of libcuda.so.1 and its tests share with the library.

const driver = @import("src/cuda/mod.zig").driver;
pub const Driver = driver.Driver;
pub const Failure = driver.Failure;
pub const open = driver.open;
pub const abi = driver.abi;
pub const devices = driver.devices;

// Device code of the GPU tests and benchmarks, compiled to PTX by `zig build kernels`. Each is launched as
// one block.

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define KERNEL __attribute__((device_kernel)) void
#define THREADS 256
/// How many parts a slow kernel does its work in, spread over its time.
#define STEPS 16

static u32 thread(void) {
    u32 index;
    __asm__ volatile("mov.u32 %0, %%tid.x;" : "=r"(index));
    return index;
}

static u64 nanoseconds(void) {
    u64 time;
    __asm__ volatile("mov.u64 %0, %%globaltimer;" : "=l"(time));
    return time;
}

static void await_step(u64 start, u64 duration, u32 step) {
    while (nanoseconds() - start < duration * step / STEPS) {}
}

/// Fills bit by bit: whoever looks before the end sees some of it.
KERNEL slow_fill(volatile u8 *to, u32 value, u64 size, u64 duration) {
    const u64 start = nanoseconds();
    for (u32 step = 0; step < STEPS; step++) {
        await_step(start, duration, step + 1);
        for (u64 index = size * step / STEPS + thread(); index < size * (step + 1) / STEPS; index += THREADS) to[index] = (u8)value;
    }
}

/// Copies bit by bit: what changes in `from` meanwhile shows in `to`.
KERNEL slow_copy(volatile u8 *to, const volatile u8 *from, u64 size, u64 duration) {
    const u64 start = nanoseconds();
    for (u32 step = 0; step < STEPS; step++) {
        await_step(start, duration, step + 1);
        for (u64 index = size * step / STEPS + thread(); index < size * (step + 1) / STEPS; index += THREADS) to[index] = from[index];
    }
}

/// Adds to `mismatches` how many words have a byte that is not `value`. `size` is a multiple of 4.
KERNEL count_mismatches(const u32 *from, u32 value, u64 size, u32 *mismatches) {
    const u32 expected = value * 0x01010101u;
    u32 found = 0;
    for (u64 index = thread(); index < size / 4; index += THREADS) found += from[index] != expected;
    if (found > 0) __atomic_fetch_add(mismatches, found, __ATOMIC_RELAXED);
}

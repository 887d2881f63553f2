// Publishes fifty pictures under the key "example".

#define _POSIX_C_SOURCE 199309L
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "cuframes.h"

static int fail(const char *tried) {
  char text[512];
  int size = cuframes_error_message(text, sizeof text);
  fprintf(stderr, "%s: %.*s\n", tried, size, text);
  return 1;
}

static void sleep_ms(int milliseconds) {
  struct timespec time = { 0, milliseconds * 1000000L };
  nanosleep(&time, NULL);
}

int main(void) {
  if (cuframes_abi_version() != CUFRAMES_ABI_VERSION) return 1;
  struct cuframes_publisher_options options = {
    .key = "example", .format = CUFRAMES_GRAY8, .width = 640, .height = 480, .slots = 8, .max_slots = 8, .socket_mode = 0660,
  };
  struct cuframes_ring_info ring;
  int publisher = cuframes_publisher_create(&options, NULL, 0, &ring);
  if (publisher < 0) return fail("creating the publisher");

  for (int i = 0; i < 50; i++) {
    int slot;
    while ((slot = cuframes_publisher_acquire(publisher, 0)) == CUFRAMES_ERROR_WOULD_BLOCK) sleep_ms(1);
    if (slot < 0) return fail("acquiring a slot");
    uint8_t *pixels = (uint8_t *)(uintptr_t)cuframes_publisher_slot_address(publisher, slot);
    struct cuframes_plane plane = ring.geometry.planes[0];
    for (uint32_t row = 0; row < plane.rows; row++) memset(pixels + row * plane.stride, i, plane.row_bytes);

    struct cuframes_publish_record record = { .timestamp_ns = i * 40000000LL, .duration_ns = 40000000 };
    record.picture.range = CUFRAMES_RANGE_FULL;
    record.metadata_size = sprintf((char *)record.metadata, "picture %d", i);
    if (cuframes_publisher_publish(publisher, slot, &record) < 0) return fail("publishing");
    sleep_ms(40);
  }
  return cuframes_publisher_close(publisher, 0) < 0 ? fail("closing") : 0;
}

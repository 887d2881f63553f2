// Reads every picture that is published under the key "example", until the publisher is gone.

#include <inttypes.h>
#include <stdio.h>
#include "cuframes.h"

static int fail(const char *tried) {
  char text[512];
  int size = cuframes_error_message(text, sizeof text);
  fprintf(stderr, "%s: %.*s\n", tried, size, text);
  return 1;
}

int main(void) {
  if (cuframes_abi_version() != CUFRAMES_ABI_VERSION) return 1;
  struct cuframes_subscriber_options options = {
    .key = "example", .name = "example in C", .mode = CUFRAMES_ORDERED, .wants = CUFRAMES_FRAMES, .timeout_ms = 5000,
  };
  struct cuframes_ring_info ring;
  int subscriber = cuframes_connect(&options, &ring, NULL);
  if (subscriber < 0) return fail("connecting");

  struct cuframes_frame frame;
  int result;
  while ((result = cuframes_subscriber_next(subscriber, 5000, 0, &frame)) == 0) {
    const uint8_t *pixels = (const uint8_t *)(uintptr_t)cuframes_subscriber_slot_address(subscriber, frame.slot);
    printf("%" PRIu64 ": %.*s, first pixel %d, %" PRIu64 " µs old\n", frame.sequence, (int)frame.metadata_size,
           (const char *)frame.metadata, pixels[ring.geometry.planes[0].offset],
           (cuframes_now_ns() - frame.published_ns) / 1000);
    cuframes_subscriber_release(subscriber, frame.lease);
  }
  if (result != CUFRAMES_ERROR_DISCONNECTED) return fail("reading");

  struct cuframes_subscriber_stats stats;
  cuframes_subscriber_stats(subscriber, &stats);
  printf("received %" PRIu64 ", dropped %" PRIu64 "\n", stats.received, stats.dropped);
  return cuframes_subscriber_close(subscriber, 0) < 0 ? fail("closing") : 0;
}

// Publishes 1000 frames to a subscriber that takes each and never waits. getppid, which nothing else here calls, marks
// in strace's log where that begins and ends.

#define _POSIX_C_SOURCE 199309L
#include <stdio.h>
#include <unistd.h>
#include "cuframes.h"

static int fail(const char *tried) {
  char text[512];
  int size = cuframes_error_message(text, sizeof text);
  fprintf(stderr, "%s: %.*s\n", tried, size, text);
  return 1;
}

int main(void) {
  struct cuframes_publisher_options options = {
    .key = "calls", .format = CUFRAMES_GRAY8, .width = 64, .height = 64, .slots = 4, .max_slots = 4, .socket_mode = 0600,
  };
  struct cuframes_ring_info ring;
  int publisher = cuframes_publisher_create(&options, NULL, 0, &ring);
  if (publisher < 0) return fail("creating the publisher");
  struct cuframes_subscriber_options reading = {
    .key = "calls", .name = "calls", .mode = CUFRAMES_ORDERED, .wants = CUFRAMES_FRAMES, .timeout_ms = 30000,
  };
  int subscriber = cuframes_connect(&reading, &ring, NULL);
  if (subscriber < 0) return fail("connecting");

  // The library's thread may still be with the new subscriber, and hold the lock that publishing takes for a moment. It
  // takes things in their turn: when it has answered this, it is done with that.
  static struct cuframes_report report;
  reading.wants = CUFRAMES_REPORT;
  if (cuframes_connect(&reading, NULL, &report) < 0) return fail("asking for a report");

  struct cuframes_publish_record record = { .metadata_size = 0 };
  getppid();
  for (uint64_t number = 1; number <= 1000; number++) {
    int slot = cuframes_publisher_acquire(publisher, 0);
    if (slot < 0 || cuframes_publisher_publish(publisher, slot, &record) < 0) return fail("publishing");
    struct cuframes_frame frame;
    if (cuframes_subscriber_next(subscriber, 0, 0, &frame) < 0) return fail("reading");
    if (frame.sequence != number) return 1;
    if (cuframes_subscriber_release(subscriber, frame.lease) < 0) return fail("releasing");
  }
  getppid();
  if (cuframes_subscriber_close(subscriber, 0) < 0) return fail("closing the subscriber");
  return cuframes_publisher_close(publisher, 0) < 0 ? fail("closing the publisher") : 0;
}

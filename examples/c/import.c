// Imports a picture from a descriptor and publishes it: here shared memory that this process fills itself. With
// CUFRAMES_CUDA and a camera's dma-buf `info.planes[0].address` is its pointer on the GPU.

#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include "cuframes.h"

static int fail(const char *tried) {
  char text[512];
  int size = cuframes_error_message(text, sizeof text);
  fprintf(stderr, "%s: %.*s\n", tried, size, text);
  return 1;
}

int main(void) {
  if (cuframes_abi_version() != CUFRAMES_ABI_VERSION) return 1;
  int fd = memfd_create("camera", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, 640 * 480) != 0 || pwrite(fd, "*", 1, 0) != 1) return 1;

  // Register.
  struct cuframes_image_options options = {
    .width = 640, .height = 480, .fourcc = CUFRAMES_DRM_R8, .plane_count = 1, .memory = CUFRAMES_HOST,
    .planes = { { .fd = fd, .stride = 640, .offset = 0 } },
  };
  struct cuframes_image_info info;
  int image = cuframes_image_import(&options, &info);
  if (image < 0) return fail("importing");
  close(fd);  // the image has its own

  // Pointer and size.
  struct cuframes_image_plane plane = info.planes[0];
  printf("%u x %u, plane 0: 0x%" PRIx64 ", %u rows of %u bytes, stride %u\n", info.width, info.height,
         plane.address, plane.rows, plane.row_bytes, plane.stride);

  // Into a frame.
  struct cuframes_publisher_options ring = {
    .key = "example", .format = CUFRAMES_GRAY8, .width = 640, .height = 480, .slots = 8, .max_slots = 8, .socket_mode = 0660,
  };
  struct cuframes_ring_info ring_info;
  int publisher = cuframes_publisher_create(&ring, NULL, 0, &ring_info);
  if (publisher < 0) return fail("creating the publisher");
  int slot = cuframes_publisher_acquire(publisher, 0);
  if (slot < 0) return fail("acquiring a slot");
  if (cuframes_publisher_copy_image(publisher, slot, image, -1, 0, 0) < 0) return fail("copying");
  struct cuframes_publish_record record = { .timestamp_ns = 0 };
  if (cuframes_publisher_publish(publisher, slot, &record) < 0) return fail("publishing");
  printf("first pixel of frame %" PRIu64 ": %c\n", record.sequence,
         *(const char *)(uintptr_t)cuframes_publisher_slot_address(publisher, slot));

  // Unregister.
  if (cuframes_image_close(image) < 0) return fail("closing the image");
  return cuframes_publisher_close(publisher, 0) < 0 ? fail("closing") : 0;
}

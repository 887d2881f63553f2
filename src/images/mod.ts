// Pictures of other software: dma-bufs and EGL images, imported to be copied into frames.

export { type DmabufFormat, dmabufFormats } from "./dmabuf_formats.ts";
export type { DrmFormat } from "./drm_formats.ts";
export { type DmabufOptions, type DmabufPlane, importDmabuf, trimImports } from "./import_dmabuf.ts";
export { type EglImageOptions, importEglImage } from "./import_egl_image.ts";
export { ImportedImage, type ImportedPlane } from "./imported_image.ts";

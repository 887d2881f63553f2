export {
  type DmabufFormat,
  dmabufFormats,
  type DmabufOptions,
  type DmabufPlane,
  type DrmFormat,
  type EglImageOptions,
  importDmabuf,
  ImportedImage,
  type ImportedPlane,
  importEglImage,
  trimImports,
} from "./imported_image.ts";

/* SPDX-License-Identifier: BSD-2-Clause */
/* true_type_inside.h - the types, and those of their finders that are functions. */
#ifndef BASCULE_TRUE_TYPE_INSIDE_H
#define BASCULE_TRUE_TYPE_INSIDE_H

#include "filters/true_type.h"

/* X(ID, "name", classes). What can be unpacked and run is both. */
#define TRUE_TYPES(X)                                                                              \
    X(BINARY, "binary", 0)                                                                         \
    X(TEXT, "text", 0)                                                                             \
    X(PE, "pe", CLASS_EXECUTABLE)                                                                  \
    X(DOS, "dos", CLASS_EXECUTABLE)                                                                \
    X(ELF, "elf", CLASS_EXECUTABLE)                                                                \
    X(MACHO, "macho", CLASS_EXECUTABLE)                                                            \
    X(MSI, "msi", CLASS_EXECUTABLE)                                                                \
    X(DEX, "dex", CLASS_EXECUTABLE)                                                                \
    X(CLASS, "class", CLASS_EXECUTABLE)                                                            \
    X(WASM, "wasm", CLASS_EXECUTABLE)                                                              \
    X(LNK, "lnk", CLASS_EXECUTABLE)                                                                \
    X(CHM, "chm", CLASS_EXECUTABLE | CLASS_DOCUMENT)                                               \
    X(SWF, "swf", CLASS_EXECUTABLE)                                                                \
    X(CRX, "crx", CLASS_EXECUTABLE | CLASS_ARCHIVE)                                                \
    X(DEB, "deb", CLASS_EXECUTABLE | CLASS_ARCHIVE)                                                \
    X(RPM, "rpm", CLASS_EXECUTABLE | CLASS_ARCHIVE)                                                \
    X(XAR, "xar", CLASS_EXECUTABLE | CLASS_ARCHIVE)                                                \
    X(JAR, "jar", CLASS_EXECUTABLE | CLASS_ARCHIVE)                                                \
    X(APK, "apk", CLASS_EXECUTABLE | CLASS_ARCHIVE)                                                \
    X(SCRIPT, "script", CLASS_EXECUTABLE | CLASS_TEXT)                                             \
    X(PHP, "php", CLASS_EXECUTABLE | CLASS_TEXT)                                                   \
    X(ZIP, "zip", CLASS_ARCHIVE)                                                                   \
    X(RAR, "rar", CLASS_ARCHIVE)                                                                   \
    X(SEVEN_ZIP, "7z", CLASS_ARCHIVE)                                                              \
    X(GZIP, "gzip", CLASS_ARCHIVE)                                                                 \
    X(XZ, "xz", CLASS_ARCHIVE)                                                                     \
    X(BZIP2, "bzip2", CLASS_ARCHIVE)                                                               \
    X(ZSTD, "zstd", CLASS_ARCHIVE)                                                                 \
    X(LZ4, "lz4", CLASS_ARCHIVE)                                                                   \
    X(LZIP, "lzip", CLASS_ARCHIVE)                                                                 \
    X(COMPRESS, "compress", CLASS_ARCHIVE)                                                         \
    X(CAB, "cab", CLASS_ARCHIVE)                                                                   \
    X(TAR, "tar", CLASS_ARCHIVE)                                                                   \
    X(AR, "ar", CLASS_ARCHIVE)                                                                     \
    X(CPIO, "cpio", CLASS_ARCHIVE)                                                                 \
    X(ARJ, "arj", CLASS_ARCHIVE)                                                                   \
    X(LZH, "lzh", CLASS_ARCHIVE)                                                                   \
    X(SQUASHFS, "squashfs", CLASS_ARCHIVE)                                                         \
    X(ISO, "iso", CLASS_ARCHIVE)                                                                   \
    X(VHD, "vhd", CLASS_ARCHIVE)                                                                   \
    X(VHDX, "vhdx", CLASS_ARCHIVE)                                                                 \
    X(PDF, "pdf", CLASS_DOCUMENT)                                                                  \
    X(OLE, "ole", CLASS_DOCUMENT)                                                                  \
    X(RTF, "rtf", CLASS_DOCUMENT)                                                                  \
    X(POSTSCRIPT, "postscript", CLASS_DOCUMENT)                                                    \
    X(DJVU, "djvu", CLASS_DOCUMENT)                                                                \
    X(ONENOTE, "onenote", CLASS_DOCUMENT)                                                          \
    X(DOCX, "docx", CLASS_DOCUMENT)                                                                \
    X(XLSX, "xlsx", CLASS_DOCUMENT)                                                                \
    X(PPTX, "pptx", CLASS_DOCUMENT)                                                                \
    X(OOXML, "ooxml", CLASS_DOCUMENT)                                                              \
    X(ODF, "odf", CLASS_DOCUMENT)                                                                  \
    X(EPUB, "epub", CLASS_DOCUMENT)                                                                \
    X(PNG, "png", CLASS_IMAGE)                                                                     \
    X(JPEG, "jpeg", CLASS_IMAGE)                                                                   \
    X(GIF, "gif", CLASS_IMAGE)                                                                     \
    X(WEBP, "webp", CLASS_IMAGE)                                                                   \
    X(BMP, "bmp", CLASS_IMAGE)                                                                     \
    X(ICO, "ico", CLASS_IMAGE)                                                                     \
    X(TIFF, "tiff", CLASS_IMAGE)                                                                   \
    X(PSD, "psd", CLASS_IMAGE)                                                                     \
    X(AVIF, "avif", CLASS_IMAGE)                                                                   \
    X(HEIC, "heic", CLASS_IMAGE)                                                                   \
    X(JXL, "jxl", CLASS_IMAGE)                                                                     \
    X(JP2, "jp2", CLASS_IMAGE)                                                                     \
    X(SVG, "svg", CLASS_IMAGE | CLASS_TEXT)                                                        \
    X(MP3, "mp3", CLASS_AUDIO)                                                                     \
    X(WAV, "wav", CLASS_AUDIO)                                                                     \
    X(OGG, "ogg", CLASS_AUDIO | CLASS_VIDEO)                                                       \
    X(FLAC, "flac", CLASS_AUDIO)                                                                   \
    X(MIDI, "midi", CLASS_AUDIO)                                                                   \
    X(AIFF, "aiff", CLASS_AUDIO)                                                                   \
    X(AU, "au", CLASS_AUDIO)                                                                       \
    X(AAC, "aac", CLASS_AUDIO)                                                                     \
    X(AMR, "amr", CLASS_AUDIO)                                                                     \
    X(MP4, "mp4", CLASS_AUDIO | CLASS_VIDEO)                                                       \
    X(MATROSKA, "matroska", CLASS_AUDIO | CLASS_VIDEO)                                             \
    X(AVI, "avi", CLASS_VIDEO)                                                                     \
    X(FLV, "flv", CLASS_VIDEO)                                                                     \
    X(MPEG, "mpeg", CLASS_VIDEO)                                                                   \
    X(MPEG_TS, "mpegts", CLASS_VIDEO)                                                              \
    X(ASF, "asf", CLASS_AUDIO | CLASS_VIDEO)                                                       \
    X(MOV, "mov", CLASS_VIDEO)                                                                     \
    X(WOFF, "woff", CLASS_FONT)                                                                    \
    X(TTF, "ttf", CLASS_FONT)                                                                      \
    X(EOT, "eot", CLASS_FONT)                                                                      \
    X(HTML, "html", CLASS_TEXT)                                                                    \
    X(XML, "xml", CLASS_TEXT)

#define X(id, name, classes) TYPE_##id,
enum type_id { TRUE_TYPES(X) };
#undef X

/* Each: TYPE_BINARY when it is none of theirs. */
enum type_id type_of_programs(struct slice start);   /* PE, DOS, Java or Mach-O */
enum type_id type_of_containers(struct slice start); /* zip, OLE2, PDF */
enum type_id type_of_media(struct slice start);      /* ISO base media */
enum type_id type_of_texts(struct slice start);      /* HTML, XML, SVG, PHP, text */

/* Whether readers of PDF take it for one: they look for its header in the first kilobyte. */
bool has_pdf(struct slice start);

#endif

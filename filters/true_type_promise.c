/* SPDX-License-Identifier: BSD-2-Clause */
/* true_type_promise.c - what media types and extensions promise that bytes will be.
 *
 * Generous: what one server or another has good reasons to send under that name is in.
 */
#include "config.h"

#include "filters/true_type.h"

#include "filters/content_field.h"
#include "server/base/must.h"

struct promise {
    struct slice word;
    uint8_t classes;
};

/* The first that matches counts. */
static const struct promise medias[] = {
    { SLICE_INIT("image/svg+xml"), CLASS_IMAGE | CLASS_TEXT },
    { SLICE_INIT("image/*"), CLASS_IMAGE },
    { SLICE_INIT("audio/*"), CLASS_AUDIO | CLASS_VIDEO },
    { SLICE_INIT("video/*"), CLASS_AUDIO | CLASS_VIDEO },
    { SLICE_INIT("font/*"), CLASS_FONT },
    { SLICE_INIT("text/*"), CLASS_TEXT },
    { SLICE_INIT("application/json"), CLASS_TEXT },
    { SLICE_INIT("application/javascript"), CLASS_TEXT },
    { SLICE_INIT("application/x-javascript"), CLASS_TEXT },
    { SLICE_INIT("application/xml"), CLASS_TEXT },
    { SLICE_INIT("*+json"), CLASS_TEXT },
    { SLICE_INIT("*+xml"), CLASS_TEXT | CLASS_IMAGE },
    { SLICE_INIT("application/font-woff"), CLASS_FONT },
    { SLICE_INIT("application/pdf"), CLASS_DOCUMENT },
    { SLICE_INIT("application/rtf"), CLASS_DOCUMENT | CLASS_TEXT },
    { SLICE_INIT("application/msword"), CLASS_DOCUMENT | CLASS_TEXT },
    { SLICE_INIT("application/vnd.openxmlformats-*"), CLASS_DOCUMENT | CLASS_ARCHIVE },
    { SLICE_INIT("application/vnd.oasis.opendocument*"), CLASS_DOCUMENT | CLASS_ARCHIVE },
    { SLICE_INIT("application/epub+zip"), CLASS_DOCUMENT | CLASS_ARCHIVE },
};

static const struct promise extensions[] = {
    { SLICE_INIT("svg"), CLASS_IMAGE | CLASS_TEXT }, { SLICE_INIT("jpg"), CLASS_IMAGE },
    { SLICE_INIT("jpeg"), CLASS_IMAGE }, { SLICE_INIT("png"), CLASS_IMAGE },
    { SLICE_INIT("gif"), CLASS_IMAGE }, { SLICE_INIT("webp"), CLASS_IMAGE },
    { SLICE_INIT("bmp"), CLASS_IMAGE }, { SLICE_INIT("ico"), CLASS_IMAGE },
    { SLICE_INIT("tif"), CLASS_IMAGE }, { SLICE_INIT("tiff"), CLASS_IMAGE },
    { SLICE_INIT("avif"), CLASS_IMAGE }, { SLICE_INIT("heic"), CLASS_IMAGE },
    { SLICE_INIT("mp3"), CLASS_AUDIO }, { SLICE_INIT("wav"), CLASS_AUDIO },
    { SLICE_INIT("flac"), CLASS_AUDIO }, { SLICE_INIT("ogg"), CLASS_AUDIO | CLASS_VIDEO },
    { SLICE_INIT("m4a"), CLASS_AUDIO | CLASS_VIDEO },
    { SLICE_INIT("mp4"), CLASS_AUDIO | CLASS_VIDEO },
    { SLICE_INIT("webm"), CLASS_AUDIO | CLASS_VIDEO },
    { SLICE_INIT("mkv"), CLASS_AUDIO | CLASS_VIDEO },
    { SLICE_INIT("mov"), CLASS_AUDIO | CLASS_VIDEO },
    { SLICE_INIT("avi"), CLASS_AUDIO | CLASS_VIDEO },
    { SLICE_INIT("woff"), CLASS_FONT }, { SLICE_INIT("woff2"), CLASS_FONT },
    { SLICE_INIT("ttf"), CLASS_FONT }, { SLICE_INIT("otf"), CLASS_FONT },
    { SLICE_INIT("txt"), CLASS_TEXT }, { SLICE_INIT("csv"), CLASS_TEXT },
    { SLICE_INIT("css"), CLASS_TEXT }, { SLICE_INIT("json"), CLASS_TEXT },
    { SLICE_INIT("pdf"), CLASS_DOCUMENT },
    { SLICE_INIT("docx"), CLASS_DOCUMENT | CLASS_ARCHIVE },
    { SLICE_INIT("xlsx"), CLASS_DOCUMENT | CLASS_ARCHIVE },
    { SLICE_INIT("pptx"), CLASS_DOCUMENT | CLASS_ARCHIVE },
    { SLICE_INIT("odt"), CLASS_DOCUMENT | CLASS_ARCHIVE },
};

unsigned
true_type_classes_of_media(struct slice essence)
{
    for (size_t i = 0; i < ARRAY_COUNT(medias); i++)
        if (content_type_is(essence, medias[i].word))
            return medias[i].classes;
    return 0;
}

unsigned
true_type_classes_of_extension(struct slice extension)
{
    for (size_t i = 0; i < ARRAY_COUNT(extensions); i++)
        if (slice_equal_nocase(extension, extensions[i].word))
            return extensions[i].classes;
    return 0;
}

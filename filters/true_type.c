/* SPDX-License-Identifier: BSD-2-Clause */
/* true_type.c - signatures, in the order of how sure they are.
 *
 * A row is one or two strings at their places. What a string cannot say (what is in a zip
 * file, in a file of OLE2, whether 0xCAFEBABE is Java's or Mach-O's) has a function.
 */
#include "config.h"

#include "filters/true_type.h"

#include "filters/true_type_inside.h"
#include "server/base/must.h"
#include "server/config/option.h"

/* ---- types */

#define X(id, name, classes) [TYPE_##id] = { name, classes },
static const struct true_type types[] = { TRUE_TYPES(X) };
#undef X

_Static_assert(ARRAY_COUNT(types) <= TRUE_TYPES_MAX, "the set is too small");

static const struct {
    const char *name;
    uint8_t class;
} classes[] = {
    { "executable", CLASS_EXECUTABLE }, { "archive", CLASS_ARCHIVE },
    { "document", CLASS_DOCUMENT },     { "image", CLASS_IMAGE },
    { "audio", CLASS_AUDIO },           { "video", CLASS_VIDEO },
    { "font", CLASS_FONT },
};

/* ---- signatures */

struct signature {
    enum type_id type;
    uint16_t at;
    struct slice magic;
    uint16_t second_at; /* with second */
    struct slice second;
};

#define MAGIC(type_, at_, text) { TYPE_##type_, at_, SLICE_INIT(text), 0, { NULL, 0 } }
#define MAGIC_TWO(type_, at_, text, at2, text2)                                                    \
    { TYPE_##type_, at_, SLICE_INIT(text), at2, SLICE_INIT(text2) }

static const struct signature signatures[] = {
    MAGIC(ELF, 0, "\x7f" "ELF"), MAGIC(MACHO, 0, "\xfe\xed\xfa\xce"),
    MAGIC(MACHO, 0, "\xfe\xed\xfa\xcf"), MAGIC(MACHO, 0, "\xce\xfa\xed\xfe"),
    MAGIC(MACHO, 0, "\xcf\xfa\xed\xfe"), MAGIC(MACHO, 0, "\xca\xfe\xba\xbf"),
    MAGIC(DEX, 0, "dex\n0"), MAGIC(WASM, 0, "\0asm"),
    MAGIC(LNK, 0, "L\0\0\0\x01\x14\x02\0"), MAGIC(CHM, 0, "ITSF"),
    MAGIC(SWF, 0, "FWS"), MAGIC(SWF, 0, "CWS"), MAGIC(SWF, 0, "ZWS"), MAGIC(CRX, 0, "Cr24"),
    MAGIC(DEB, 0, "!<arch>\ndebian"), MAGIC(AR, 0, "!<arch>\n"),
    MAGIC(RPM, 0, "\xed\xab\xee\xdb"), MAGIC(XAR, 0, "xar!"),
    MAGIC(AMR, 0, "#!AMR"), MAGIC(SCRIPT, 0, "#!"), MAGIC(SCRIPT, 0, "\xef\xbb\xbf#!"),

    MAGIC(RAR, 0, "Rar!\x1a\x07"), MAGIC(SEVEN_ZIP, 0, "7z\xbc\xaf\x27\x1c"),
    MAGIC(GZIP, 0, "\x1f\x8b"), MAGIC(XZ, 0, "\xfd" "7zXZ\0"),
    MAGIC_TWO(BZIP2, 0, "BZh", 4, "1AY&SY"), MAGIC_TWO(BZIP2, 0, "BZh", 4, "\x17" "rE8P\x90"),
    MAGIC(ZSTD, 0, "\x28\xb5\x2f\xfd"), MAGIC(LZ4, 0, "\x04\x22\x4d\x18"),
    MAGIC(LZIP, 0, "LZIP"), MAGIC(COMPRESS, 0, "\x1f\x9d"), MAGIC(CAB, 0, "MSCF"),
    MAGIC(CAB, 0, "ISc("), MAGIC(TAR, 257, "ustar"), MAGIC(CPIO, 0, "07070"),
    MAGIC(ARJ, 0, "\x60\xea"), MAGIC_TWO(LZH, 2, "-lh", 6, "-"), MAGIC(SQUASHFS, 0, "hsqs"),
    MAGIC(ISO, 32769, "CD001"), MAGIC(VHDX, 0, "vhdxfile"), MAGIC(VHD, 0, "conectix"),

    MAGIC(RTF, 0, "{\\rt"), MAGIC(POSTSCRIPT, 0, "%!PS-Adobe-"), MAGIC(DJVU, 0, "AT&TFORM"),
    MAGIC(ONENOTE, 0, "\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d"),

    MAGIC(PNG, 0, "\x89PNG\r\n\x1a\n"), MAGIC(JPEG, 0, "\xff\xd8\xff"), MAGIC(GIF, 0, "GIF87a"),
    MAGIC(GIF, 0, "GIF89a"), MAGIC_TWO(WEBP, 0, "RIFF", 8, "WEBPVP"),
    MAGIC(ICO, 0, "\0\0\x01\0"), MAGIC(ICO, 0, "\0\0\x02\0"), MAGIC(TIFF, 0, "II*\0"),
    MAGIC(TIFF, 0, "MM\0*"), MAGIC(PSD, 0, "8BPS"), MAGIC_TWO(BMP, 0, "BM", 6, "\0\0\0\0"),
    MAGIC(JXL, 0, "\xff\x0a"), MAGIC(JXL, 0, "\0\0\0\x0cJXL \r\n\x87\n"),
    MAGIC(JP2, 0, "\0\0\0\x0cjP  \r\n\x87\n"),

    MAGIC(MP3, 0, "ID3"), MAGIC_TWO(WAV, 0, "RIFF", 8, "WAVE"), MAGIC(OGG, 0, "OggS\0"),
    MAGIC(FLAC, 0, "fLaC"), MAGIC(MIDI, 0, "MThd\0\0\0\x06"),
    MAGIC_TWO(AIFF, 0, "FORM", 8, "AIF"), MAGIC(AU, 0, ".snd"), MAGIC(AAC, 0, "\xff\xf1"),
    MAGIC(AAC, 0, "\xff\xf9"), MAGIC(MP3, 0, "\xff\xfb"), MAGIC(MP3, 0, "\xff\xf3"),
    MAGIC(MP3, 0, "\xff\xf2"), MAGIC(MP3, 0, "\xff\xfa"),

    MAGIC(MATROSKA, 0, "\x1a\x45\xdf\xa3"), MAGIC_TWO(AVI, 0, "RIFF", 8, "AVI "),
    MAGIC(FLV, 0, "FLV\x01"), MAGIC(MPEG, 0, "\0\0\x01\xba"), MAGIC(MPEG, 0, "\0\0\x01\xb3"),
    MAGIC(ASF, 0, "\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    MAGIC_TWO(MPEG_TS, 0, "G", 188, "G"), MAGIC(MOV, 4, "moov"), MAGIC(MOV, 4, "mdat"),

    MAGIC(WOFF, 0, "wOFF"), MAGIC(WOFF, 0, "wOF2"), MAGIC(TTF, 0, "\0\x01\0\0\0"),
    MAGIC(TTF, 0, "OTTO"), MAGIC(TTF, 0, "ttcf"), MAGIC_TWO(EOT, 34, "LP", 12, "\0\0\0\0"),
};

static bool
has_at(struct slice start, size_t at, struct slice magic)
{
    return start.bytes >= at + magic.bytes &&
           memcmp(start.data + at, magic.data, magic.bytes) == 0;
}

static bool
is_signed(struct slice start, const struct signature *s)
{
    return has_at(start, s->at, s->magic) &&
           (s->second.data == NULL || has_at(start, s->second_at, s->second));
}

static enum type_id
type_by_signature(struct slice start)
{
    for (size_t i = 0; i < ARRAY_COUNT(signatures); i++)
        if (signatures[i].at == 0 && is_signed(start, &signatures[i]))
            return signatures[i].type;
    return TYPE_BINARY;
}

/* Behind those that are sure: other types may have the same bytes there. */
static enum type_id
type_by_later_signature(struct slice start)
{
    for (size_t i = 0; i < ARRAY_COUNT(signatures); i++)
        if (signatures[i].at > 0 && is_signed(start, &signatures[i]))
            return signatures[i].type;
    return TYPE_BINARY;
}

/* ---- the whole */

static enum type_id (*const finders[])(struct slice) = {
    type_of_programs, type_of_containers, type_by_signature, type_of_media,
    type_by_later_signature, type_of_texts,
};

static enum type_id
find_first(struct slice start)
{
    enum type_id id = TYPE_BINARY;

    for (size_t i = 0; i < ARRAY_COUNT(finders) && id == TYPE_BINARY; i++)
        id = finders[i](start);
    return id;
}

const struct true_type *
true_type_find(struct slice start)
{
    enum type_id id = find_first(start);

    return &types[types[id].classes == 0 && has_pdf(start) ? TYPE_PDF : id];
}


/* ---- sets */

static bool
add_class(struct true_types *set, uint8_t class)
{
    for (size_t i = 0; i < ARRAY_COUNT(types); i++)
        if (types[i].classes & class)
            set->bits[i / 64] |= UINT64_C(1) << (i % 64);
    return true;
}

int
true_types_add(struct true_types *set, struct slice word, struct err *err)
{
    struct nearest nearest;

    nearest_init(&nearest, word);
    for (size_t i = 0; i < ARRAY_COUNT(classes); i++) {
        if (slice_equal(word, slice_of(classes[i].name)) && add_class(set, classes[i].class))
            return 0;
        nearest_offer(&nearest, classes[i].name);
    }
    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        if (slice_equal(word, slice_of(types[i].name))) {
            set->bits[i / 64] |= UINT64_C(1) << (i % 64);
            return 0;
        }
        nearest_offer(&nearest, types[i].name);
    }
    err_set(err, "\"%.*s\" is no type that bytes tell: executable, archive, document, image, "
                 "audio, video, font, or a type such as pe, elf, script, zip, pdf, html",
            SLICE_ARG(word));
    return nearest_hint(&nearest, err);
}

bool
true_types_has(const struct true_types *set, const struct true_type *type)
{
    size_t i = (size_t)(type - types);

    return (set->bits[i / 64] >> (i % 64)) & 1;
}

const struct true_type *
true_types_find(const struct true_types *set, struct slice start)
{
    const struct true_type *type = true_type_find(start);

    if (true_types_has(set, type))
        return type;
    if (true_types_has(set, &types[TYPE_PDF]) && has_pdf(start))
        return &types[TYPE_PDF];
    for (size_t i = 0; i < ARRAY_COUNT(signatures); i++)
        if ((signatures[i].type == TYPE_TAR || signatures[i].type == TYPE_ISO) &&
            true_types_has(set, &types[signatures[i].type]) && is_signed(start, &signatures[i]))
            return &types[signatures[i].type];
    return NULL;
}

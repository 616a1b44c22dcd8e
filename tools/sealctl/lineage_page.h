/*
 * lineage_page - the parts of the HTML page
 */
#ifndef SEALCTL_LINEAGE_PAGE_H
#define SEALCTL_LINEAGE_PAGE_H

#include "lineage.h"

/* lineage_page_assets.c: what is the same on all pages. */
extern const char lineage_page_style[];
extern const char lineage_page_script[];

/* Text and quoted attributes of HTML. The text must be valid UTF-8 without control characters (escape.h makes it so).
 */
void lineage_page_escape(FILE *stream, const char *text);
/* The same for any bytes; at most so many characters: of a longer text the beginning, of a longer path the end. Prints
 * "?" when memory is out. */
void lineage_page_text(FILE *stream, const char *bytes, size_t characters);
void lineage_page_path(FILE *stream, const char *bytes, size_t characters);

/* lineage_drawing.c: the SVG element. *columns is how many generations there are. -ENOMEM. */
int lineage_page_drawing(FILE *stream, const struct lineage *lineage, size_t *columns);

#endif

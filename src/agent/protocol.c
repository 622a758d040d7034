// SPDX-License-Identifier: Apache-2.0
#include "agent/protocol.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/printable.h"

enum { SAID_COLUMNS = 300, SAID_MAX = SAID_COLUMNS * 4 + 8, COLUMNS_MAX = UINT16_MAX };

/* What came over the socket is put into one line, whatever it is. */
static const char *clean(const char *said, char line[SAID_MAX])
{
	struct buf b = { 0 };

	printable_add_cut(&b, said, SAID_COLUMNS);
	snprintf(line, SAID_MAX, "%s", b.data && !b.failed ? b.data : "");
	buf_fini(&b);
	return line;
}

void request_fini(struct request *r)
{
	free(r->filter);
	r->filter = NULL;
}

static void add_json_line(struct buf *out, json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	if (text) {
		buf_adds(out, text);
		buf_addc(out, '\n');
	} else {
		out->failed = true;
	}
	free(text);
	json_decref(json);
}

void request_encode(const struct request *r, struct buf *out)
{
	add_json_line(out, json_pack("{s:s, s:s, s:s, s:s*, s:i, s:b, s:b}", "version", r->version,
				     "command", r->command, "output", r->output, "filter",
				     r->filter, "columns", (int)r->columns, "colour", r->colour,
				     "no_args", r->no_args));
}

/* The words of @ret, which outlive the JSON. -EPROTO: too long, or a width that no terminal has. */
static int request_fill(struct request *ret, const char *const words[3], const char *filter,
			json_int_t columns)
{
	if (strlen(words[0]) >= sizeof(ret->version) || strlen(words[1]) >= sizeof(ret->command) ||
	    strlen(words[2]) >= sizeof(ret->output) || columns < 0 || columns > COLUMNS_MAX)
		return -EPROTO;
	strncat(ret->version, words[0], sizeof(ret->version) - 1);
	strncat(ret->command, words[1], sizeof(ret->command) - 1);
	strncat(ret->output, words[2], sizeof(ret->output) - 1);
	ret->columns = (unsigned int)columns;
	ret->filter = filter ? strdup(filter) : NULL;
	return filter && !ret->filter ? -ENOMEM : 0;
}

int request_decode(const char *text, size_t len, struct request *ret, struct err *e)
{
	const char *words[3] = { "", "", "" }, *filter = NULL;
	json_int_t columns = 0;
	int colour = 0, no_args = 0, err;
	char said[SAID_MAX];
	json_error_t why;
	json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);

	*ret = (struct request){ 0 };
	if (!json ||
	    json_unpack_ex(json, &why, 0, "{s:s, s:s, s?:s, s?:s, s?:I, s?:b, s?:b}", "version",
			   &words[0], "command", &words[1], "output", &words[2], "filter", &filter,
			   "columns", &columns, "colour", &colour, "no_args", &no_args)) {
		json_decref(json);
		return err_set(e, EPROTO, "not a request: %s", clean(why.text, said));
	}
	err = request_fill(ret, words, filter, columns);
	ret->colour = colour;
	ret->no_args = no_args;
	json_decref(json);
	if (err)
		err_set(e, -err,
			err == -ENOMEM ? "out of memory"
				       : "not a request: a word or number is too large");
	return err;
}

static void add_clean_lines(const char *text, struct buf *out)
{
	while (*text) {
		size_t len = strcspn(text, "\n");
		char *line = strndup(text, len);

		if (line && len) {
			printable_add_cut(out, line, SAID_COLUMNS);
			buf_addc(out, '\n');
		}
		free(line);
		text += len + (text[len] != '\0');
	}
}

void greeting_encode(const char *error, const char *warnings, struct buf *out)
{
	struct buf line = { 0 }, lines = { 0 };
	char said[SAID_MAX];

	add_clean_lines(warnings ?: "", &lines);
	if (error)
		add_json_line(&line, json_pack("{s:s, s:s}", "version", NSLENS_VERSION, "error",
					       clean(error, said)));
	else
		add_json_line(&line, json_pack("{s:s, s:s*}", "version", NSLENS_VERSION, "warnings",
					       lines.data));
	out->failed |= line.failed || lines.failed;
	buf_fini(&lines);
	frame_encode(out, line.data, line.len);
	buf_fini(&line);
}

int greeting_decode(const char *text, size_t len, const char *version, struct buf *warnings,
		    struct err *e)
{
	json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	const char *error = json_string_value(json_object_get(json, "error"));
	const char *agent = json_string_value(json_object_get(json, "version"));
	char said[SAID_MAX];
	int err = 0;

	if (!agent)
		err = err_set(e, EPROTO, "what answers on the agent's socket is not an agent");
	else if (error)
		err = err_set(e, EPROTO, "the agent refuses: %s", clean(error, said));
	else if (version && strcmp(agent, version))
		err = err_set(e, EPROTO,
			      "the agent is nslens %s, this is nslens %s; restart the agent",
			      clean(agent, said), version);
	else if (warnings)
		add_clean_lines(json_string_value(json_object_get(json, "warnings")) ?: "",
				warnings);
	json_decref(json);
	return err;
}

void frame_encode(struct buf *out, const void *data, size_t len)
{
	unsigned char header[FRAME_HEADER] = { (unsigned char)(len >> 24),
					       (unsigned char)(len >> 16),
					       (unsigned char)(len >> 8), (unsigned char)len };

	buf_add(out, header, sizeof(header));
	if (len)
		buf_add(out, data, len);
}

size_t frame_length(const unsigned char header[FRAME_HEADER])
{
	return (size_t)header[0] << 24 | (size_t)header[1] << 16 | (size_t)header[2] << 8 |
	       header[3];
}

int agent_socket_path(const char *state_dir, char *path, size_t size)
{
	int n = snprintf(path, size, "%s/agent.sock", state_dir);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

const char *agent_state_dir(void)
{
	const char *dir = getenv("NSLENS_STATE_DIR");

	return dir && *dir ? dir : "/run/nslens";
}

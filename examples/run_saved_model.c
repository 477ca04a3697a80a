/* Runs a signature of a SavedModel through TensorFlow's C API: no Python, none of avsc_tf.
 *
 *   run_saved_model MODEL                    lists the signatures with their tensors
 *   run_saved_model MODEL SIGNATURE FOLDER   reads FOLDER/NAME.npy of each input,
 *                                            writes FOLDER/NAME.out.npy of each output
 *
 * Build it against libtensorflow, or against the tensorflow wheel (TF is its folder):
 *
 *   cc -std=c11 -O2 -I$TF/include run_saved_model.c -o run_saved_model \
 *      -L$TF -l:libtensorflow_cc.so.2 -l:libtensorflow_framework.so.2 -Wl,-rpath,$TF
 *
 * Arrays are little-endian .npy files in C order, of the types that `types` below lists.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"

enum { MAX_TENSORS = 16, MAX_AXES = 8, MAX_NAME = 256, MAX_HEADER = 65535 };

static const struct { TF_DataType type; const char *npy; size_t bytes; } types[] = {
    {TF_FLOAT, "<f4", 4}, {TF_DOUBLE, "<f8", 8}, {TF_INT32, "<i4", 4},
    {TF_INT64, "<i8", 8}, {TF_UINT8, "|u1", 1},  {TF_BOOL, "|b1", 1},
};
enum { N_TYPES = sizeof types / sizeof *types };

typedef struct { const unsigned char *at, *end; } Bytes;
typedef struct { char key[MAX_NAME], tensor[MAX_NAME]; } Entry; /* "mel" and "convert_mel:0" */
typedef struct { Entry inputs[MAX_TENSORS], outputs[MAX_TENSORS]; int n_inputs, n_outputs; } Signature;

static void fail(const char *what, const char *detail) {
    fprintf(stderr, "error: %s: %s\n", what, detail);
    exit(2);
}

static void check(const char *what, const TF_Status *status) {
    if (TF_GetCode(status) != TF_OK) fail(what, TF_Message(status));
}

/* ---- The signatures: a MetaGraphDef in protobuf's wire format, of which four messages are read. ---- */

static uint64_t varint(Bytes *b) {
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && b->at < b->end; shift += 7) {
        unsigned char byte = *b->at++;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return value;
    }
    fail("signatures", "damaged");
    return 0;
}

/* The next field's number, its bytes in `field` where it has some; 0 at the end. */
static int next(Bytes *b, Bytes *field) {
    if (b->at >= b->end) return 0;
    uint64_t key = varint(b), size = 0;
    if ((key & 7) == 0) { varint(b); }
    else if ((key & 7) == 2) { size = varint(b); }
    else if ((key & 7) == 5) { size = 4; }
    else if ((key & 7) == 1) { size = 8; }
    else { fail("signatures", "damaged"); }
    if (size > (uint64_t)(b->end - b->at)) fail("signatures", "damaged");
    field->at = b->at;
    field->end = b->at += size;
    return (int)(key >> 3);
}

static void text(Bytes from, char *to) {
    size_t n = (size_t)(from.end - from.at);
    if (n >= MAX_NAME) fail("signatures", "a name is too long");
    memcpy(to, from.at, n);
    to[n] = 0;
}

/* An entry of a map from text to a message. */
static Bytes map_entry(Bytes entry, char *key) {
    Bytes field, value = {NULL, NULL};
    for (int number; (number = next(&entry, &field));) {
        if (number == 1) text(field, key);
        if (number == 2) value = field;
    }
    return value;
}

static void add_tensor(Bytes entry, Entry *entries, int *n) {
    if (*n == MAX_TENSORS) fail("signatures", "too many tensors");
    Bytes field, info = map_entry(entry, entries[*n].key); /* TensorInfo: 1 is the tensor's name */
    for (int number; (number = next(&info, &field));)
        if (number == 1) text(field, entries[*n].tensor);
    (*n)++;
}

static Signature parse_signature(Bytes def) { /* SignatureDef: 1 are its inputs, 2 its outputs */
    Signature found = {.n_inputs = 0};
    Bytes field;
    for (int number; (number = next(&def, &field));) {
        if (number == 1) add_tensor(field, found.inputs, &found.n_inputs);
        if (number == 2) add_tensor(field, found.outputs, &found.n_outputs);
    }
    return found;
}

/* Finds a signature; without a name prints all of them. */
static Signature find_signature(const TF_Buffer *graph, const char *wanted) {
    Bytes all = {graph->data, (const unsigned char *)graph->data + graph->length}, field;
    for (int number; (number = next(&all, &field));) {
        char key[MAX_NAME] = "";
        if (number != 5) continue; /* MetaGraphDef: 5 is the map of signatures */
        Signature found = parse_signature(map_entry(field, key));
        if (wanted && !strcmp(key, wanted)) return found;
        if (wanted || !strncmp(key, "__", 2)) continue;
        printf("%s\n", key);
        for (int i = 0; i < found.n_inputs; i++) printf("  in   %-22s %s\n", found.inputs[i].key, found.inputs[i].tensor);
        for (int i = 0; i < found.n_outputs; i++) printf("  out  %-22s %s\n", found.outputs[i].key, found.outputs[i].tensor);
    }
    if (wanted) fail("no such signature", wanted);
    return (Signature){.n_inputs = 0};
}

static TF_Output place(TF_Graph *graph, const char *tensor) { /* "operation:index" */
    char operation[MAX_NAME];
    strcpy(operation, tensor);
    char *colon = strrchr(operation, ':');
    if (colon) *colon++ = 0;
    TF_Output found = {TF_GraphOperationByName(graph, operation), colon ? atoi(colon) : 0};
    if (!found.oper) fail("not in the graph", tensor);
    return found;
}

/* ---- Arrays ---- */

static TF_Tensor *read_npy(const char *path) {
    static char header[MAX_HEADER + 1];
    unsigned char start[10];
    FILE *file = fopen(path, "rb");
    if (!file) fail("cannot be read", path);
    if (fread(start, 1, 10, file) != 10 || memcmp(start, "\x93NUMPY\x01", 7)) fail("no .npy file of version 1", path);
    size_t n = start[8] | (size_t)start[9] << 8;
    if (fread(header, 1, n, file) != n) fail("truncated", path);
    header[n] = 0;
    const char *descr = strstr(header, "'descr': '"), *shape = strstr(header, "'shape': (");
    if (!descr || !shape || !strstr(header, "'fortran_order': False")) fail("must be in C order", path);
    int kind = 0, n_axes = 0;
    while (kind < N_TYPES && strncmp(descr + 10, types[kind].npy, 3)) kind++;
    if (kind == N_TYPES) fail("of a type that is not known here", path);
    int64_t axes[MAX_AXES];
    size_t bytes = types[kind].bytes;
    for (char *at = (char *)shape + 10; *at && *at != ')';) {
        char *after;
        int64_t axis = strtoll(at, &after, 10);
        if (after == at) { at++; continue; } /* comma or space */
        if (n_axes == MAX_AXES || axis < 0) fail("has a shape that is not allowed", path);
        axes[n_axes++] = axis;
        if (axis && bytes > SIZE_MAX / (size_t)axis) fail("has a shape that is not allowed", path);
        bytes *= (size_t)axis;
        at = after;
    }
    TF_Tensor *tensor = TF_AllocateTensor(types[kind].type, axes, n_axes, bytes);
    if (!tensor || fread(TF_TensorData(tensor), 1, bytes, file) != bytes) fail("truncated", path);
    fclose(file);
    return tensor;
}

static void write_npy(const char *path, const TF_Tensor *tensor) {
    char shape[256] = "", header[512];
    int kind = 0, used = 0;
    while (kind < N_TYPES && types[kind].type != TF_TensorType(tensor)) kind++;
    if (kind == N_TYPES) fail("an output is of a type that is not known here", path);
    for (int i = 0; i < TF_NumDims(tensor); i++)
        used += snprintf(shape + used, sizeof shape - (size_t)used, "%lld, ", (long long)TF_Dim(tensor, i));
    int n = snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", types[kind].npy, shape);
    while ((10 + n + 1) % 64) header[n++] = ' ';
    header[n++] = '\n';
    FILE *file = fopen(path, "wb");
    if (!file) fail("cannot be written", path);
    fwrite("\x93NUMPY\x01\x00", 1, 8, file);
    fputc(n & 255, file);
    fputc(n >> 8, file);
    fwrite(header, 1, (size_t)n, file);
    fwrite(TF_TensorData(tensor), 1, TF_TensorByteSize(tensor), file);
    if (ferror(file) || fclose(file)) fail("cannot be written", path);
}

int main(int argc, char **argv) {
    if (argc != 2 && argc != 4) {
        fprintf(stderr, "usage: %s MODEL [SIGNATURE FOLDER]\n", argv[0]);
        return 2;
    }
    TF_Status *status = TF_NewStatus();
    TF_Graph *graph = TF_NewGraph();
    TF_Buffer *meta = TF_NewBuffer();
    TF_SessionOptions *options = TF_NewSessionOptions();
    const char *tags[] = {"serve"};
    TF_Session *session = TF_LoadSessionFromSavedModel(options, NULL, argv[1], tags, 1, graph, meta, status);
    check(argv[1], status);
    Signature signature = find_signature(meta, argc == 4 ? argv[2] : NULL);
    if (argc == 4) {
        TF_Output inputs[MAX_TENSORS], outputs[MAX_TENSORS];
        TF_Tensor *given[MAX_TENSORS] = {0}, *made[MAX_TENSORS] = {0};
        char path[4096];
        for (int i = 0; i < signature.n_inputs; i++) {
            snprintf(path, sizeof path, "%s/%s.npy", argv[3], signature.inputs[i].key);
            inputs[i] = place(graph, signature.inputs[i].tensor);
            given[i] = read_npy(path);
        }
        for (int i = 0; i < signature.n_outputs; i++) outputs[i] = place(graph, signature.outputs[i].tensor);
        TF_SessionRun(session, NULL, inputs, given, signature.n_inputs, outputs, made, signature.n_outputs, NULL, 0, NULL, status);
        check(argv[2], status);
        for (int i = 0; i < signature.n_outputs; i++) {
            snprintf(path, sizeof path, "%s/%s.out.npy", argv[3], signature.outputs[i].key);
            write_npy(path, made[i]);
            TF_DeleteTensor(made[i]);
        }
        for (int i = 0; i < signature.n_inputs; i++) TF_DeleteTensor(given[i]);
    }
    TF_CloseSession(session, status);
    TF_DeleteSession(session, status);
    TF_DeleteSessionOptions(options);
    TF_DeleteBuffer(meta);
    TF_DeleteGraph(graph);
    TF_DeleteStatus(status);
    return 0;
}

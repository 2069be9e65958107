// g++ -std=c++17 detect.cpp -o detect -L "$LITERT" -lLiteRt -Wl,-rpath,"$LITERT"
// ./detect bundle/model.tflite beat.f32 0.31               exit code 0: no OMI, 3: OMI, 2: no answer
// ./detect bundle/model.tflite beat.f32 0.31 0.08 0.47     also the band: below rule_out, from rule_in on, or between
//                                                          (manifest.json; - where it says null)
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

// LiteRT's C interface, as its headers litert/c/*.h declare it; include those where you have them.
extern "C" {
typedef struct Env* LiteRtEnvironment;
typedef struct Mod* LiteRtModel;
typedef struct Opt* LiteRtOptions;
typedef struct Com* LiteRtCompiledModel;
typedef struct Req* LiteRtTensorBufferRequirements;
typedef struct Buf* LiteRtTensorBuffer;
typedef struct Sig* LiteRtSignature;
struct LiteRtRankedTensorType {
  int element_type;  // 1: float32
  struct { unsigned rank : 7; bool has_strides : 1; int32_t dimensions[8]; uint32_t strides[8]; } layout;
};
int LiteRtCreateEnvironment(int, const void*, LiteRtEnvironment*);
int LiteRtCreateModelFromFile(LiteRtEnvironment, const char*, LiteRtModel*);
int LiteRtGetModelSignature(LiteRtModel, size_t, LiteRtSignature*);
int LiteRtGetSignatureKey(LiteRtSignature, const char**);
int LiteRtGetSignatureOutputName(LiteRtSignature, size_t, const char**);
int LiteRtCreateOptions(LiteRtOptions*);
int LiteRtSetOptionsHardwareAccelerators(LiteRtOptions, int);  // 1: processor
int LiteRtCreateCompiledModel(LiteRtEnvironment, LiteRtModel, LiteRtOptions, LiteRtCompiledModel*);
int LiteRtGetCompiledModelInputBufferRequirements(LiteRtCompiledModel, size_t, size_t, LiteRtTensorBufferRequirements*);
int LiteRtGetCompiledModelOutputBufferRequirements(LiteRtCompiledModel, size_t, size_t, LiteRtTensorBufferRequirements*);
int LiteRtCreateManagedTensorBufferFromRequirements(LiteRtEnvironment, const LiteRtRankedTensorType*,
                                                    LiteRtTensorBufferRequirements, LiteRtTensorBuffer*);
int LiteRtRunCompiledModel(LiteRtCompiledModel, size_t, size_t, LiteRtTensorBuffer*, size_t, LiteRtTensorBuffer*);
int LiteRtLockTensorBuffer(LiteRtTensorBuffer, void**, int);  // 0: read, 1: write
int LiteRtUnlockTensorBuffer(LiteRtTensorBuffer);
}

static void check(int status, const char* what) {
  if (status != 0) {
    std::fprintf(stderr, "%s failed: %d\n", what, status);
    std::exit(2);
  }
}

static LiteRtRankedTensorType type(std::vector<int32_t> shape) {
  LiteRtRankedTensorType t{};
  t.element_type = 1;
  t.layout.rank = static_cast<unsigned>(shape.size());
  std::memcpy(t.layout.dimensions, shape.data(), shape.size() * sizeof(int32_t));
  return t;
}

// As edge/bands.py.
static const char* band(double probability, const std::string& rule_out, const std::string& rule_in) {
  if (rule_in != "-" && probability >= std::atof(rule_in.c_str())) return "  rule-in";
  if (rule_out != "-" && probability < std::atof(rule_out.c_str())) return "  rule-out";
  return "  open";
}

int main(int argc, char** argv) {
  if (argc != 4 && argc != 6) return 2;
  LiteRtEnvironment environment;
  LiteRtModel model;
  LiteRtSignature signature;
  LiteRtOptions options;
  LiteRtCompiledModel network;
  LiteRtTensorBufferRequirements needed;
  check(LiteRtCreateEnvironment(0, nullptr, &environment), "environment");
  check(LiteRtCreateModelFromFile(environment, argv[1], &model), "model");
  const char* key;
  check(LiteRtGetModelSignature(model, 0, &signature), "signature");
  check(LiteRtGetSignatureKey(signature, &key), "signature");
  check(std::strcmp(key, "detect"), "signature detect");
  check(LiteRtCreateOptions(&options), "options");
  check(LiteRtSetOptionsHardwareAccelerators(options, 1), "options");
  check(LiteRtCreateCompiledModel(environment, model, options, &network), "network");

  LiteRtTensorBuffer input, outputs[2];
  const LiteRtRankedTensorType beat = type({1, 12, 600});
  check(LiteRtGetCompiledModelInputBufferRequirements(network, 0, 0, &needed), "input");
  check(LiteRtCreateManagedTensorBufferFromRequirements(environment, &beat, needed, &input), "input");
  int place = -1;  // of "probability" among the outputs
  for (int i = 0; i < 2; ++i) {
    const char* name;
    check(LiteRtGetSignatureOutputName(signature, i, &name), "output");
    const bool wanted = std::strcmp(name, "probability") == 0;
    if (wanted) place = i;
    const LiteRtRankedTensorType shape = wanted ? type({1}) : type({1, 2});
    check(LiteRtGetCompiledModelOutputBufferRequirements(network, 0, i, &needed), "output");
    check(LiteRtCreateManagedTensorBufferFromRequirements(environment, &shape, needed, &outputs[i]), "output");
  }
  check(place < 0, "output probability");

  void* memory;  // 12 × 600 float32, millivolts, lead after lead, for every input.contract of manifest.json
  check(LiteRtLockTensorBuffer(input, &memory, 1), "input");
  std::FILE* file = std::fopen(argv[2], "rb");
  check(file == nullptr, "opening the beat");
  check(std::fread(memory, sizeof(float), 12 * 600, file) != 12 * 600, "reading the beat");
  std::fclose(file);
  check(LiteRtUnlockTensorBuffer(input), "input");
  check(LiteRtRunCompiledModel(network, 0, 1, &input, 2, outputs), "run");
  check(LiteRtLockTensorBuffer(outputs[place], &memory, 0), "output");
  const float probability = *static_cast<float*>(memory);
  check(LiteRtUnlockTensorBuffer(outputs[place]), "output");
  if (!(probability >= 0 && probability <= 1)) return 2;  // NaN: the beat has missing values
  std::printf("P(OMI) %.9f%s\n", probability, argc == 6 ? band(probability, argv[4], argv[5]) : "");
  return probability >= std::atof(argv[3]) ? 3 : 0;
}

#include "cadre/kernels/reference/reference.h"

namespace cadre {
namespace {

class ReferenceBackend final : public Backend {
 public:
  void matmul(const Matmul& args) override { reference::matmul(args); }
  void head_matmul(const HeadMatmul& args) override { reference::head_matmul(args); }
  void embed(const Embed& args) override { reference::embed(args); }
  void rms_norm(const RmsNorm& args) override { reference::rms_norm(args); }
  void rope(const Rope& args) override { reference::rope(args); }
  void swiglu(const Swiglu& args) override { reference::swiglu(args); }
  void add(const Add& args) override { reference::add(args); }
  void copy(const Copy& args) override { reference::copy(args); }
  void kv_write(const KvWrite& args) override { reference::kv_write(args); }
  void kv_read(const KvRead& args) override { reference::kv_read(args); }
  void attend(const Attend& args) override { reference::attend(args); }
  void expert_ffn(const ExpertFfn& args) override { reference::expert_ffn(args); }

  std::string description() const override { return "reference"; }
};

}  // namespace

std::unique_ptr<Backend> make_reference_backend() { return std::make_unique<ReferenceBackend>(); }

}  // namespace cadre

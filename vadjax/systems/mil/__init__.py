"""MIL ranker on segment features (Sultani et al., CVPR 2018, two-stream I3D form)."""

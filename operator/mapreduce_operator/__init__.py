"""The operator: turns `MapReduceJob` resources into coordinators and workers, and tells what becomes of them."""

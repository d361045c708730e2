"""From a folder of recordings to clips and the schedule of their training examples."""

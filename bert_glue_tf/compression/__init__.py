"""The pruning engine below the methods: schedule, units, scores, ranking, masks, registry."""

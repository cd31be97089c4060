"""What compiled code looks like and costs, for people: made by planning and lowering again, when somebody asks."""
